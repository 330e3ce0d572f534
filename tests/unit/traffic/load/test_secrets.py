"""Secrets in load options: a reference is checked and stored, its value is put in place only where it is sent."""

from __future__ import annotations

import pytest

from harness.common.errors import InputError
from harness.traffic.load.secrets import check_secrets, with_secrets

OPTIONS = {"headers": {"Authorization": "Bearer ${env:TOKEN}"}, "expect": [200], "body": "${env:USER_1}:${env:TOKEN}"}


def test_every_reference_is_replaced_wherever_it_stands() -> None:
    found = with_secrets(OPTIONS, {"TOKEN": "t0", "USER_1": "me"})
    assert found == {"headers": {"Authorization": "Bearer t0"}, "expect": [200], "body": "me:t0"}


def test_secret_value_is_not_expanded_again() -> None:
    assert with_secrets({"body": "${env:A}"}, {"A": r"${env:B}\1"}) == {"body": r"${env:B}\1"}


def test_all_missing_secrets_are_listed_before_the_start() -> None:
    with pytest.raises(InputError) as caught:
        check_secrets(OPTIONS, {"HOME": "/"})
    assert [problem.message for problem in caught.value.problems] == [
        "the environment variable TOKEN is not set",
        "the environment variable USER_1 is not set",
    ]
    check_secrets(OPTIONS, {"TOKEN": "", "USER_1": "me"})


@pytest.mark.parametrize("text", ["${TOKEN}", "$env:TOKEN", "${env:}", "${env:1A}", "${image:podinfo}"])
def test_text_without_a_reference_is_unchanged(text: str) -> None:
    assert with_secrets({"body": text}, {}) == {"body": text}
