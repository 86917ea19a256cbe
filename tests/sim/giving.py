"""Whom allocators may give an address: what pools say of namespaces and of sharing, and what Services ask for.

Judged from the objects alone, whenever a Service becomes a holder. An allocator hears of an edit some time later, so
whatever an object said within LOOK_BACK_SECONDS counts; what nobody edited for so long is judged strictly.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from tests.sim.api import Body, Key, Stored
from tests.sim.cluster import Cluster
from tests.sim.transport import QUICK_SECONDS

LOOK_BACK_SECONDS = 60.0
"""Longer than an allocator is ever cut off, frozen or behind."""
GARBAGE = "garbage"


@dataclass
class History:
    """What one object said, and until when (None = it still does). `ever`: all of that."""

    ever: list[Body] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    is_there: bool = False

    def says(self, body: Body | None, now: float) -> None:
        if self.is_there:
            self.ends.append(now)
        self.is_there = body is not None
        if body is not None:
            self.ever.append(body)

    def lately(self, now: float) -> list[Body]:
        gone = sum(end < now - LOOK_BACK_SECONDS for end in self.ends)
        return self.ever[gone:]


@dataclass
class Giving:
    """`found`: told of what must not be."""

    cluster: Cluster
    found: Callable[[str], None]
    pools: dict[str, History] = field(default_factory=dict)
    services: dict[str, History] = field(default_factory=dict)
    """By uid."""
    _late_until: float = -LOOK_BACK_SECONDS

    def changed(self, plural: str, key: Key, before: Stored | None, after: Stored | None) -> None:
        """Of each object that is another one."""
        if key.name == GARBAGE:
            return
        now, body = self.cluster.world.now, None if after is None else after.body
        links = [one.link for one in self.cluster.allocators]
        if any("late" in one.chances or one.latency > QUICK_SECONDS for one in links):
            self._late_until = now + LOOK_BACK_SECONDS
        if plural == "ippools":
            self.pools.setdefault(key.name, History()).says(body, now)
        elif plural == "services":
            uid = (after or before).body["metadata"]["uid"]  # type: ignore[union-attr]
            self.services.setdefault(uid, History()).says(body, now)

    def became_holders(self, spec: Body, known: Body | None, uids: Sequence[str]) -> None:
        """Of the address that this record is for. `known`: what it said before; None = there was none."""
        if spec.get("external"):
            return
        for holder in spec["holders"]:
            if holder["uid"] not in uids:
                continue
            wishes = self._wishes(holder)
            pools = self.pools.get(spec["pool"], History()).lately(self.cluster.world.now)
            for why in self._why_not(spec, known, holder, wishes, pools) if wishes else ():
                self.found(f"{_names([holder])} is given {spec['address']}: {why}")

    def left(self, spec: Body, known: Body) -> None:
        """Who leaves the address, as its record says that said `known`, shows it no more: proxies serve what is shown.

        One that is being deleted and was alone there may: nobody else gets the address before it is gone.
        """
        if spec.get("external") or known.get("releasing") or not self.is_sure():
            return
        stay = set() if spec.get("releasing") else {one["uid"] for one in spec["holders"]}
        present = self._present()
        for holder in known["holders"]:
            service = present.get(holder["uid"])
            if holder["uid"] in stay or service is None or spec["address"] not in _shown(service):
                continue
            if stay or "deletionTimestamp" not in service["metadata"]:
                self.found(f"{_names([holder])} leaves {spec['address']}, which its status shows")

    def served_twice(self) -> Iterator[str]:
        """No two namespaces' Services show one address with one port: proxies serve it for either of them."""
        seen: dict[tuple[str, str, int], Body] = {}
        for service in self._present().values():
            for address in _shown(service):
                for protocol, port in _ports(service):
                    other = seen.setdefault((address, protocol, port), service["metadata"])
                    if other["namespace"] != service["metadata"]["namespace"]:
                        yield f"{_names([other, service['metadata']])} show {address}, and both have port {port}"

    def _present(self) -> dict[str, Body]:
        """The Services that are there, as they are, by uid."""
        return {uid: one.ever[-1] for uid, one in self.services.items() if one.is_there}

    def is_sure(self) -> bool:
        """Whether no request of an allocator is under way that a former leader sent long ago."""
        return self.cluster.world.now >= self._late_until

    def _wishes(self, holder: Body) -> list[Body]:
        found = self.services.get(holder["uid"])
        return [] if found is None else found.lately(self.cluster.world.now)

    def _why_not(
        self, spec: Body, known: Body | None, holder: Body, wishes: list[Body], pools: list[Body]
    ) -> Iterator[str]:
        if others := [one for one in spec["holders"] if one["uid"] != holder["uid"]]:
            yield from self._of_sharing(spec, holder, others, wishes, pools)
        if any(spec["address"] in _shown(one) for one in wishes):
            return  # it has it already, whatever pools say by now
        if not any(_has(one, spec["address"]) for one in pools):
            yield f"pool {spec['pool']} does not have it"
        named = [_annotation(one, "berth.dev/pool") for one in wishes]
        if all(one is not None and spec["pool"] not in one.split(",") for one in named):
            yield f"it is of pool {spec['pool']}, and asked for is {sorted(set(map(str, named)))}"
        yield from self._of_quota(spec, known, holder, pools)
        yield from self._of_those_who_show(spec)

    def _of_those_who_show(self, spec: Body) -> Iterator[str]:
        """Services that Berth has told something: of others a status may say anything."""
        if not self.is_sure():
            return
        uids = {one["uid"] for one in spec["holders"]}
        for uid, service in self._present().items():
            told = (service.get("status") or {}).get("conditions") or ()
            is_told = any(one["type"] == "berth.dev/Allocated" for one in told)
            if is_told and spec["address"] in _shown(service) and uid not in uids:
                yield f"the status of {_names([service['metadata']])} shows it"

    def _of_quota(self, spec: Body, known: Body | None, holder: Body, pools: list[Body]) -> Iterator[str]:
        """An address that nobody else of the namespace has does not count where the Service leaves it for this one, or
        one that gets it with it; nor does one that others leave, as their status says: of one that is shared the record
        says so a moment later. A create that arrives late may be of a leader before the one that gave what was left."""
        most = [one["spec"].get("maxPerNamespace") for one in pools]
        namespace = holder["namespace"]
        was_there = known is not None and bool(_of(namespace, known))
        if None in most or not most or was_there or not self.is_sure():
            return
        records = [
            one["spec"]
            for one in self.cluster.api.all("ipallocations")
            if one["metadata"]["name"] != GARBAGE and one["spec"]["pool"] == spec["pool"]
        ]
        held = [
            one
            for one in records
            if not one.get("releasing") and any(not self._has_left(uid, one["address"]) for uid in _of(namespace, one))
        ]
        come = _of(namespace, spec)
        left = [one for one in held if one["address"] != spec["address"] and _of(namespace, one) <= come]
        unasked = sum(not any(self._may_want(uid, one["address"]) for uid in _of(namespace, one)) for one in left)
        may_go = any(not self._is_to_stay(uid, one["address"]) for one in left for uid in _of(namespace, one))
        if len(held) - max(unasked, may_go) > max(most):
            addresses = sorted(one["address"] for one in held)
            yield f"namespace {namespace} has {addresses} of pool {spec['pool']}, of which it may have {max(most)}"

    def _may_want(self, uid: str, address: str) -> bool:
        """Whether it names it, or no address at all."""
        known = self.services.get(uid)
        ips = _annotation(known.ever[-1], "berth.dev/ips") if known is not None and known.ever else None
        return ips is None or address in ips

    def _is_to_stay(self, uid: str, address: str) -> bool:
        """Whether it named the address all the time, beside others or not."""
        known = self.services.get(uid)
        wishes = () if known is None else known.lately(self.cluster.world.now)
        return bool(wishes) and all(address in (_annotation(one, "berth.dev/ips") or "").split(",") for one in wishes)

    def _has_left(self, uid: str, address: str) -> bool:
        """Whether its status named the address, and does no more."""
        if (known := self.services.get(uid)) is None or not known.ever:
            return False
        is_shown = address in _shown(known.ever[-1])
        return not is_shown and any(address in _shown(one) for one in known.lately(self.cluster.world.now))

    def _of_sharing(
        self, spec: Body, holder: Body, others: list[Body], wishes: list[Body], pools: list[Body]
    ) -> Iterator[str]:
        key, policy = spec.get("sharingKey"), spec.get("trafficPolicy", "Cluster")
        are_of_one_namespace = all(one["namespace"] == holder["namespace"] for one in others)
        said = {one["spec"].get("sharing", "SameNamespace") for one in pools}
        if said == {"None"}:
            yield f"pool {spec['pool']} lets nobody share"
        if not are_of_one_namespace and ("AnyNamespace" not in said or policy == "Local"):
            yield f"{_names(others)} are of other namespaces, pool {spec['pool']} says {said}, and policy is {policy}"
        if all((_annotation(one, "berth.dev/sharing-key"), _policy(one)) != (key, policy) for one in wishes):
            yield f"it asks neither lately for key {key} and policy {policy}"
        for other in others:
            was = self.services.get(other["uid"], History())
            if was.ever and all(_annotation(one, "berth.dev/sharing-key") != key for one in was.ever):
                yield f"{_names([other])} never had the key {key}"
            if was.ever and all(_policy(one) != policy for one in was.ever):
                yield f"{_names([other])} never had the policy {policy}"
            lately = was.lately(self.cluster.world.now)
            if lately and all(_ports(one) & _ports(each) for one in lately for each in wishes):
                yield f"{_names([other])} has a port of it"


def _names(holders: list[Body]) -> str:
    return ", ".join(f"{one['namespace']}/{one['name']}" for one in holders)


def _of(namespace: str, record: Body) -> set[str]:
    """The holders that are of that namespace, by uid."""
    return {one["uid"] for one in record["holders"] if one["namespace"] == namespace}


def _annotation(service: Body, name: str) -> str | None:
    found: str | None = (service["metadata"].get("annotations") or {}).get(name)
    return found


def _policy(service: Body) -> str:
    found: str = service["spec"].get("externalTrafficPolicy") or "Cluster"
    return found


def _ports(service: Body) -> set[tuple[str, int]]:
    return {(one["protocol"], one["port"]) for one in service["spec"]["ports"]}


def _shown(service: Body) -> list[str]:
    return [one["ip"] for one in (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or ()]


def _has(pool: Body, address: str) -> bool:
    """Networks, ranges from first to last, and single addresses."""
    wanted = ip_address(address)
    for text in pool["spec"]["addresses"]:
        if "-" not in text:
            found = wanted in ip_network(text)
        else:
            first, last = map(ip_address, text.split("-"))
            found = first.version == wanted.version and int(first) <= int(wanted) <= int(last)
        if found:
            return True
    return False
