"""Judges that replaced pods run the same images as before: a moving tag such as ``latest`` may bring another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from harness import Finding, Objective, Selector, Timeline, Verdict
from shop_kinds.pod_images import SERIES


class SameImages(Objective):
    """No image runs at the end that did not run before the fault. Needs the probe ``podImages`` with the selector."""

    kind: ClassVar[str] = "sameImages"

    selector: Selector = Field(description="label selector of the pods, as in the probe")

    @property
    def title(self) -> str:
        return f"same images in {self.selector}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # compares the time before the fault with the end of the run
        injected = timeline.injected()
        if injected is None:
            return Finding(verdict=Verdict.INCONCLUSIVE, reason="nothing was injected")
        readings = timeline.observations(SERIES, self.selector)
        before = [seen for seen in readings if seen.at <= injected.low]
        after = [seen for seen in readings if seen.at > injected.high]
        # HELD needs data on both sides of the fault; a missing or failed reading is not a pass.
        if not before or not after or not (before[-1].value and after[-1].value):
            reason = "the images were not read before the fault and after it: add the probe podImages"
            errors = [seen.error for seen in readings if seen.error]
            return Finding(verdict=Verdict.INCONCLUSIVE, reason=errors[-1] if errors else reason)
        new = sorted({*after[-1].value["images"]} - {*before[-1].value["images"]})
        verdict = Verdict.BROKEN if new else Verdict.HELD
        reason = f"new images: {', '.join(new)}" if new else "the pods run the images from before the fault"
        return Finding.exact(verdict, reason, len(new), limit=0, unit="images", comparison="<=", samples=len(readings))
