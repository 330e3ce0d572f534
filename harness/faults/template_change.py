"""What the changes of a workload's pod template have in common: rollouts, rollbacks and restarts. Not a kind of fault.

All changes of one workload form a set: an annotation of the workload names the revision before the first of them, and
the changes in effect. Undoing one of them removes it from the set; undoing the last one restores the pod template of
that revision, as ``kubectl rollout undo`` does, verified by reading it again. So the original template returns whatever
the order, and undoing a rollback never rolls out a bad version again. The journal and the annotation name the object
that keeps the revision and never contain the template, whose environment may hold secrets. A template that another
client has rolled out since stays. How long the workload takes to be complete again is measured by the probes.
"""

from __future__ import annotations

import json
import secrets
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.completeness import observed_generation
from harness.cluster.kube.patches.custom import as_merge_patch
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import PODS, WORKLOADS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.faults import kept_template
from harness.faults.base import Effect, Fault, FaultContext
from harness.faults.kept_template import forget, keep, keeps, name_of, place_of
from harness.faults.revisions import Revision, current_revision, keeper_of, revision_in, revisions, template_of
from harness.faults.stuck_pods import delete_stuck, needs_help
from harness.faults.targets import WorkloadTarget
from harness.faults.unchanged import patch_unchanged
from harness.model.timeline import Victim
from harness.safety.guard import check_victims
from harness.safety.guard.rollouts import may_lose

# An annotation of the workload while its template is changed.
MARK = "resilience.harness/template-changes"


@dataclass(frozen=True, slots=True)
class Before:
    """The newest revision before a change, the names of all, and how many pods a rollout may remove at a time."""

    number: int
    names: frozenset[str]
    may_lose: int


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of a template that are in effect, as the annotation has them.

    ``revision``, ``name`` and ``uid`` are those of the revision before the first of them. ``count`` includes those that
    are undone. ``generation`` is that of the workload after the latest one."""

    revision: int
    name: str
    uid: str
    generation: int
    count: int
    marks: tuple[str, ...]

    @classmethod
    def of(cls, workload: Object) -> Changes | None:
        text = (workload["metadata"].get("annotations") or {}).get(MARK)
        if text is None:
            return None
        try:
            values = json.loads(text)
            return cls(**{**values, "marks": tuple(values["marks"])})
        except (ValueError, TypeError, KeyError):
            # Another client wrote it.
            return None

    def text(self) -> str:
        return json.dumps(asdict(self))


class TemplateChange(WorkloadTarget, Fault):
    """Changes the pod template of a workload."""

    effect: ClassVar[Effect] = Effect.WORKLOADS

    @property
    def replaces_pods(self) -> bool:
        """Whether the controller must replace pods for the change to take effect."""
        return True

    @property
    def permissions(self) -> frozenset[Permission]:
        needed = self.target_permissions | allow(self.resource, "patch")
        if self.of.startswith("statefulset/"):
            needed |= allow(PODS, "list", "delete")
        return needed | allow(keeper_of(self.of), "get", "list") | kept_template.permissions(self.of)

    def takes(self, victim: Victim) -> int:
        """Return how many pods the workload's strategy lets a rollout remove before a new pod is ready. If a bad
        version becomes ready, the rollout goes on and removes all old pods, which cannot be predicted."""
        return victim.state_before(Before).may_lose

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self.find_workload(context.api, context.namespace)
        check_victims([found], context.namespace)
        self.check_workload(found)
        known = revisions(context.api, found)
        current = self._check_way_back(found, known)
        before = Before(current.number, frozenset(revision.name for revision in known), may_lose(found))
        lost = f", a rollout may take {before.may_lose} of its pods" if before.may_lose else ""
        detail = f"revision {before.number}{lost}"
        return (Victim(found["kind"], self.name, found["metadata"]["uid"], detail, before),)

    def check_workload(self, workload: Object) -> None:
        """Raise Inconclusive if this change is impossible on the workload."""

    @abstractmethod
    def template_patch(self, context: FaultContext, workload: Object, known: list[Revision]) -> Object:
        """Return a strategic merge patch of the pod template. Raises Inconclusive if there is nothing to change to."""

    @abstractmethod
    def description(self) -> str:
        """Return what the change does to ``of``, for people."""

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            # Read again, since the workload may have changed since the choice.
            found = self.find_workload(context.api, context.namespace)
            known = revisions(context.api, found)
            current = self._check_way_back(found, known)
            template = self.template_patch(context, found, known)
            if keeps(self.of):
                template = as_merge_patch(found["spec"]["template"], template)
            mark = secrets.token_hex(8)
            before = Changes.of(found)
            revision = before.revision if before and before.marks else current.number
            # No part of the template, which may hold secrets: the journal is on disk, in a ConfigMap and in the report.
            parameters = {"namespace": context.namespace, "of": self.of, "uid": victim.uid, "mark": mark}
            what = f"{self.description()}: restore the pod template of revision {revision}"
            context.journal.write(self.kind, what, parameters)
            changes = _with_mark(context.api, found, current, mark)
            after = self._change(context, found, victim.uid, template, changes)
            # The API server raises the generation only if the patch really changed the spec.
            if after["metadata"]["generation"] == found["metadata"]["generation"]:
                raise Inconclusive(f"no-op: {self.of} already has this pod template, so the rollout changed nothing")

    def made(self, context: FaultContext, victim: Victim) -> Revision | None:
        """Return the revision that the change made, also when there are newer ones; None if there is none yet."""
        found = context.api.find(self.resource, self.name, context.namespace)
        if found is None or found["metadata"]["uid"] != victim.uid:
            return None
        before = victim.state_before(Before).number
        return next((revision for revision in revisions(context.api, found) if revision.number > before), None)

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Remove this change from the set, and restore the original template if it was the last one: the annotation
        shows that it was injected, and the revision that no other pod template was rolled out after it."""
        api, of, namespace = cluster.api, str(parameters["of"]), parameters["namespace"]
        found = _find(api, parameters)
        if found is None:
            return f"{of} is gone: nothing to roll back"
        changes = Changes.of(found)
        if changes is None or parameters["mark"] not in changes.marks:
            forget(api, of, namespace, name_of(of, parameters["mark"]))
            return f"{of} does not have this fault's annotation: the fault was never injected, or it is undone already"
        rest = tuple(mark for mark in changes.marks if mark != parameters["mark"])
        if rest:
            _write(api, parameters, found, replace(changes, marks=rest))
            return f"{of} keeps its pod template until its other changes are undone too"
        generation = found["metadata"]["generation"]
        observed = (observed_generation(found) or 0) >= generation
        # With the annotation and no change since it was written, the latest change is the fault's. Otherwise the
        # revision decides, which the controller must have updated first.
        if not observed and generation != changes.generation:
            raise NotYet(f"{of} has changed and its controller has not observed it: it is unknown who changed it")
        original = _kept(api, of, changes, namespace)
        if original and template_of(found) == original.template:
            delete_stuck(api, found, original)
            _write(api, parameters, found, None)
            return f"{of} has the pod template of revision {changes.revision}"
        newest = max((revision.number for revision in revisions(api, found)), default=0)
        # Each of the changes became one revision.
        if newest > changes.revision + changes.count:
            _write(api, parameters, found, None)
            return f"{of} is at revision {newest}: rolled out by another client since, not touched"
        if original is None:
            raise HarnessError(
                f"{of} cannot be rolled back: {place_of(of).kind.lower()}/{changes.name}, which kept the pod template "
                f"of revision {changes.revision}, is gone"
            )
        # The annotation of a workload whose pods may be stuck stays until they are deleted, in a next call.
        rest_of = changes if needs_help(found) else None
        _write(api, parameters, found, rest_of, original.template)
        if template_of(api.get(WORKLOADS[of.partition("/")[0]], found["metadata"]["name"], namespace)) != (
            original.template
        ):
            raise HarnessError(f"{of} does not have the pod template that was restored")
        if rest_of:
            raise NotYet(f"{of} was rolled back, but its controller has not observed it")
        return f"{of} was rolled back to the pod template of revision {changes.revision}"

    def _check_way_back(self, workload: Object, known: list[Revision]) -> Revision:
        """Return the revision with the current pod template.

        Raises Inconclusive when there is none, when a change would not be rolled out, or when the revision that undo
        restores may be gone by then."""
        of, spec, changes = self.of, workload["spec"], Changes.of(workload)
        if spec.get("paused"):
            raise Inconclusive(f"{of} is paused: it would not roll out anything")
        if self.replaces_pods and (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
            raise Inconclusive(f"{of} has the update strategy OnDelete: it would not roll out anything")
        limit, needed = spec.get("revisionHistoryLimit", 10), 1 + (changes.count if changes else 0)
        if limit < needed:
            # If a version becomes ready, its rollout completes, and the revisions over the limit are removed.
            raise Inconclusive(
                f"{of}: found revisionHistoryLimit: {limit}, expected at least {needed}: the revision that undo "
                "restores the pod template from would not be kept"
            )
        if current := current_revision(workload, known):
            return current
        raise Inconclusive(
            f"{of} has no {keeper_of(of).kind} with its current pod template: its controller has not rolled it out "
            "yet, so undo could not restore it"
        )

    def _change(self, context: FaultContext, found: Object, uid: str, template: Object, changes: Changes) -> Object:
        # The annotation is the workload's, not the template's: it is written together with the change, and causes no
        # rollout.
        body = {"metadata": {"annotations": {MARK: changes.text()}}, "spec": {"template": template}}
        strategy = "merge" if keeps(self.of) else "strategic-merge"
        return patch_unchanged(context, self.resource, found, body, uid=uid, strategy=strategy)


def _with_mark(api: KubeApi, workload: Object, current: Revision, mark: str) -> Changes:
    """Return the changes of a workload with one more, which is about to be made. Raises ApiError."""
    generation = workload["metadata"]["generation"] + 1
    before = Changes.of(workload)
    if before is None or not before.marks:
        kept = keep(api, workload, current, mark)
        return Changes(kept.number, kept.name, kept.uid, generation, 1, (mark,))
    return replace(before, generation=generation, count=before.count + 1, marks=(*before.marks, mark))


def _find(api: KubeApi, parameters: Mapping[str, Any]) -> Object | None:
    kind, _, name = str(parameters["of"]).partition("/")
    found = api.find(WORKLOADS[kind], name, parameters["namespace"])
    return found if found and found["metadata"]["uid"] == parameters["uid"] else None


def _kept(api: KubeApi, of: str, changes: Changes, namespace: str) -> Revision | None:
    """Return the original revision; None when the object that kept it is gone."""
    item = api.find(place_of(of), changes.name, namespace)
    return revision_in(item) if item and item["metadata"]["uid"] == changes.uid else None


def _write(
    api: KubeApi,
    parameters: Mapping[str, Any],
    found: Object,
    changes: Changes | None,
    template: Object | None = None,
) -> None:
    """Write the annotation, or remove it without changes, and restore a template, if one is given.

    Raises NotYet if ``found`` is no longer current."""
    # RFC 6901: a slash within a key is written as ~1 in a JSON pointer.
    path = f"/metadata/annotations/{MARK.replace('/', '~1')}"
    patch: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": parameters["uid"]},
        # The generation changes with the spec, and not with the status, which changes often during a rollout.
        {"op": "test", "path": "/metadata/generation", "value": found["metadata"]["generation"]},
        {"op": "test", "path": path, "value": found["metadata"]["annotations"][MARK]},
        {"op": "replace", "path": path, "value": changes.text()} if changes else {"op": "remove", "path": path},
    ]
    if template is not None:
        patch.append({"op": "replace", "path": "/spec/template", "value": template})
    kind, _, name = str(parameters["of"]).partition("/")
    try:
        api.patch(WORKLOADS[kind], name, patch, parameters["namespace"], strategy="json")
    except ApiError as error:
        # The API server answers 422 if a "test" of a JSON patch fails.
        if error.status != 422:
            raise
        raise NotYet(f"{parameters['of']} has changed meanwhile: {error}") from error
    before = Changes.of(found)
    if changes is None and before is not None:
        forget(api, parameters["of"], parameters["namespace"], before.name)
