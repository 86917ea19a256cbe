"""What a seed says: which cluster there is to begin with, and what happens to it."""

import random

from tests.sim.acts import NODES_THERE, PAUSE, ROUTERS_THERE, SERVICES_THERE, Step

V4, V6 = ("192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13"), ("2001:db8::10", "2001:db8::11")
PAUSES = (0.0, 0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 1.0, 2.0, 4.0)
LONG_PAUSES = (8.0, 12.0, 25.0)


POLICIES = (4, 3)
"""Of the lives, those whose seed by the first leaves the second have a pool with a policy from the beginning on."""
OUTAGES = (8, 5)
"""Of the lives, those that go on with an outage which is long enough for a fence."""


ROUTED = ("bgp", "peer")
"""Acts by which a cluster has routers."""


def drawn(seed: int) -> list[Step]:
    """A life."""
    steps = _Fate(random.Random(f"fate {seed}")).life()
    if seed % POLICIES[0] == POLICIES[1]:
        return with_policies(steps, random.Random(f"policies {seed}"))
    if seed % OUTAGES[0] == OUTAGES[1]:
        return steps + long_outage(random.Random(f"outage {seed}"))
    return steps


def some_step(rng: random.Random, *, has_bgp: bool) -> Step:
    """One act, as they come in lives, or one that comes in none."""
    fate = _Fate(rng)
    fate.has_bgp = has_bgp
    return fate.rare() if rng.random() < 0.5 else fate.step()


def with_policies(steps: list[Step], rng: random.Random) -> list[Step]:
    """The same life where the pool has rules for namespaces and for sharing, nobody takes them back, and more Services
    share."""
    policies = [f"sharing={rng.choice(('None', 'SameNamespace', 'AnyNamespace'))}"]
    if rng.random() < 0.5:
        policies.append(f"most={rng.choice((1, 1, 2))}")
    made = []
    for one in steps:
        words = list(one.words)
        if one.act == "pool":
            words = [word for word in words if word.partition("=")[0] not in ("sharing", "most")] + policies
        elif one.act in ("service", "again") and rng.random() < 0.5 and not any("key=" in word for word in words):
            words += [f"key={rng.choice('kkm')}", f"ports={rng.choice(('80', '443', '25', '80,443'))}"]
        made.append(Step(one.pause_seconds, one.act, tuple(words)))
    return made


def long_outage(rng: random.Random) -> list[Step]:
    """Who answers for an address is cut off, alone or with others, for about as long as a fence takes; meanwhile the
    address passes from one Service to another."""
    old, new = rng.sample(SERVICES_THERE, 2)

    def cut(who: str) -> Step:
        which, seconds = rng.choice(("both", "both", "answers", "requests")), rng.choice((8, 14, 19, 22, 26, 33))
        return Step(rng.choice((0.0, 0.05, 1.0, 4.0)), "cut", (who, which, f"seconds={seconds}"))

    who = f"owner:{old}"
    troubles = [
        [Step(0.0, "part", (who, "others", f"for={rng.choice((12, 25))}"))],
        [Step(rng.choice((0.0, 3.0, 9.0)), "freeze", (who, str(rng.choice((8, 20, 26))), "with=wire"))],
        [Step(rng.choice((0.0, 3.0)), "freeze", (who, str(rng.choice((8, 20, 26)))))],
        [cut(f"others:{old}")],
        [cut("nodes")],
        [Step(2.0, "kill", (f"others:{old}",))],
        [],
    ]
    return [
        Step(1.0, "service", (old, "families=4")),
        Step(0.5, "endpoints", (old, *NODES_THERE)),
        *(Step(0.0, "node", (name,)) for name in NODES_THERE[:3]),
        Step(8.0, PAUSE),
        cut(who),
        *rng.choice(troubles),
        *rng.choice(troubles),
        Step(rng.choice((0.0, 1.0, 6.0)), "service", (new, f"ips=its:{old}")),
        Step(rng.choice((0.0, 0.5, 6.0)), "delete", (old,)),
        Step(rng.choice((18.0, 26.0)), PAUSE),
        *rng.choice(troubles),
        Step(rng.choice((4.0, 12.0, 20.0)), PAUSE),
    ]


class _Fate:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.has_bgp = rng.random() < 0.4
        self.is_patient = rng.random() < 0.3

    def one(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def life(self) -> list[Step]:
        steps = self.beginning()
        for _ in range(self.rng.randint(4, 10)):
            if self.rng.random() < 0.4:
                steps += self.dangerous()
            else:
                steps += [self.step() for _ in range(self.rng.randint(1, 4))]
        return steps

    def dangerous(self) -> list[Step]:
        """Something is wrong with whoever announces an address, while it passes from one Service to another."""
        rng, (old, new) = self.rng, self.rng.sample(SERVICES_THERE, 2)
        who, seconds = self.one(f"owner:{old}", f"owner:{old}", f"others:{old}"), self.seconds()
        trouble = [
            Step(self.pause(), "lag", (who, self.one("0.3", "2", "5"), f"for={seconds}")),
            Step(self.pause(), "slow", (who, self.one("0.3", "1.5"), f"for={seconds}")),
            Step(self.pause(), "cut", (who, self.one("both", "answers", "refused"), f"seconds={seconds}")),
            Step(self.pause(), "freeze", (who, seconds)),
            Step(self.pause(), "freeze", (who, seconds, "with=wire")),
            Step(self.pause(), "wire-stuck", (who, self.one("0.5", "3"))),
            Step(self.pause(), "kill", (who,)),
            Step(self.pause(), "restart", (who,)),
            Step(self.pause(), "power-off", (who, f"seconds={seconds}")),
            Step(self.pause(), "mishaps", (who, self.one("unheard", "late", "lying"), "0.5", f"for={seconds}")),
            Step(self.pause(), "part", (who, "others", f"for={seconds}")),
            Step(self.pause(), "kill", ("leader",)),
            Step(self.pause(), "refused", ("releaseconfirmations", "for=3")),
        ]
        if self.has_bgp:
            trouble.append(Step(self.pause(), "router-cut", (ROUTERS_THERE[0], who, f"for={seconds}")))
            trouble.append(Step(self.pause(), "router-hangs", (ROUTERS_THERE[0], f"for={seconds}")))
        wish = Step(rng.choice((0.0, 0.05, 1.0)), "service", (new, f"ips=its:{old}"))
        leave = rng.choice(
            (
                Step(rng.choice((0.0, 0.05, 0.5)), "delete", (old,)),
                Step(rng.choice((0.0, 0.05, 0.5)), "delete", (old,)),
                Step(0.05, "become", (old, "ClusterIP")),
                Step(0.05, "again", (old,)),
            )
        )
        more = [rng.choice(trouble)] if rng.random() < 0.4 else []
        return [
            Step(rng.choice((0.3, 2.0)), "service", (old, "families=4")),
            Step(1.0, "endpoints", (old, *NODES_THERE)),
            rng.choice(trouble),
            wish,
            leave,
            *more,
        ]

    def beginning(self) -> list[Step]:
        steps = [Step(0, "node", (name,)) for name in NODES_THERE[: self.rng.choice((2, 3, 3, 3))]]
        steps.append(Step(0, "pool", ("edge", "addresses=192.0.2.10-192.0.2.12,2001:db8::10-2001:db8::11")))
        if self.rng.random() < 0.7 or not self.has_bgp:
            steps.append(Step(0, "l2", ("all",)))
        if self.has_bgp:
            steps.append(Step(0, "bgp", ("all",)))
            steps.append(self.peer("tor1", ROUTERS_THERE[0]))
        steps += [self.service(0.0) for _ in range(2)]
        steps.append(Step(4.0, "endpoints", ("default/a", *NODES_THERE)))
        return steps

    def pause(self) -> float:
        if self.is_patient and self.rng.random() < 0.06:
            return self.rng.choice(LONG_PAUSES)
        return self.rng.choice(PAUSES)

    def step(self) -> Step:
        kinds = (
            (self.user, 10),
            (self.operator, 3),
            (self.network, 4),
            (self.process, 4),
            (self.server, 2),
            (self.routing, 3 if self.has_bgp else 0),
        )
        draw = self.rng.choices([one for one, _ in kinds], [weight for _, weight in kinds])[0]
        return draw()

    # ---- users

    def user(self) -> Step:
        draw = self.rng.random()
        name = self.one(*SERVICES_THERE)
        if draw < 0.4:
            return self.service(self.pause())
        if draw < 0.65:
            return Step(self.pause(), "delete", (name,))
        if draw < 0.77:
            return Step(self.pause(), "again", (name, *self.wishes()))
        if draw < 0.88:
            return Step(self.pause(), "become", (name, self.one("ClusterIP", "LoadBalancer", "NodePort")))
        if draw < 0.96:
            nodes = [one for one in NODES_THERE if self.rng.random() < 0.5]
            return Step(self.pause(), "endpoints", (name, *nodes))
        return Step(self.pause(), self.one("finalizers-off", "record-gone"), (name,))

    def service(self, pause: float) -> Step:
        return Step(pause, "service", (self.one(*SERVICES_THERE), *self.wishes()))

    def wishes(self) -> list[str]:
        rng, words = self.rng, []
        families = self.one("4", "4", "4", "6", "46", "64", "46!")
        words.append(f"families={families}")
        if rng.random() < 0.3:
            words += [f"key={self.one('k', 'k', 'm')}", f"ports={self.one('80', '443', '25', '80,443')}"]
        if rng.random() < 0.3:
            words.append(f"ips={self.one(*V6) if families == '6' else self.one(*V4)}")
        if rng.random() < 0.2:
            words.append("policy=Local")
        if rng.random() < 0.1:
            words.append(f"pool={self.one('edge', 'few', 'none')}")
        if rng.random() < 0.06:
            words.append(f"class={self.one('berth.dev/berth', 'other.dev/lb')}")
        return words

    # ---- operators

    def operator(self) -> Step:
        rng, node = self.rng, self.one(*NODES_THERE)
        choices = (
            Step(self.pause(), "node", (node,)),
            Step(self.pause(), "node-leaves", (node,)),
            Step(self.pause(), "label", (node, f"zone={self.one('x', 'y', '-')}")),
            Step(self.pause(), "label", (node, f"exclude={self.one('true', '-')}")),
            Step(self.pause(), "speaker-gone", (node,)),
            Step(self.pause(), "restart", (node,)),
            Step(self.pause(), "restart", (node,)),
            Step(self.pause(), "out-of-service", (node,)),
            Step(self.pause(), "replace", (node, self.one("dead", "dead", "alive"))),
            self.pool(),
            self.pool(),
            Step(self.pause(), "pool-gone", (self.one("edge", "few"),)),
            Step(
                self.pause(), "l2", (self.one("all", "some"), *([f"zone={self.one('x', 'y')}"] * (rng.random() < 0.5)))
            ),
            Step(self.pause(), "l2-gone", (self.one("all", "some"),)),
            Step(self.pause(), "lease-gone", (node,)),
        )
        return rng.choice(choices)

    def pool(self) -> Step:
        name = self.one("edge", "few")
        words = [
            "addresses="
            + self.one(
                "192.0.2.10-192.0.2.12,2001:db8::10-2001:db8::11",
                "192.0.2.10,2001:db8::10",
                "192.0.2.11-192.0.2.13",
                "192.0.2.13",
            )
        ]
        if self.rng.random() < 0.3:
            words.append(f"sharing={self.one('None', 'SameNamespace', 'AnyNamespace')}")
        if self.rng.random() < 0.1:
            words.append("most=1")
        if self.rng.random() < 0.1:
            words.append("rest=2")
        if self.rng.random() < 0.1:
            words.append("publish=WhenAnnounced")
        if self.rng.random() < 0.05:
            words.append("probe=yes")
        return Step(self.pause(), "pool", (name, *words))

    # ---- bad luck

    def who(self) -> str:
        return self.one(*NODES_THERE[:3], *NODES_THERE[:3], "one", "two", "all", "nodes", "allocators")

    def seconds(self) -> str:
        return f"{self.rng.choice((0.3, 1.0, 2.5, 4.0, 7.0) + ((15.0, 24.0, 40.0) if self.is_patient else ()))}"

    def network(self) -> Step:
        node, seconds = self.one(*NODES_THERE[:3]), self.seconds()
        choices = (
            Step(self.pause(), "cut", (self.who(), self.one("both", "answers", "refused"), f"seconds={seconds}")),
            Step(self.pause(), "cut", (node, self.one("both", "answers", "refused"), f"seconds={seconds}")),
            Step(self.pause(), "lag", (self.who(), self.one("0.2", "1", "4"), f"for={seconds}")),
            Step(
                self.pause(),
                "mishaps",
                (
                    self.who(),
                    self.one("lost", "unheard", "late", "late", "busy", "failing", "lying"),
                    self.one("0.1", "0.3", "0.7"),
                    f"for={seconds}",
                ),
            ),
            Step(self.pause(), "slow", (self.who(), self.one("0.1", "0.5", "1.5"), f"for={seconds}")),
            Step(
                self.pause(),
                "part",
                (node, self.one("others", *NODES_THERE[:3]), f"way={self.one('one', 'both')}", f"for={seconds}"),
            ),
        )
        return self.rng.choice(choices)

    def process(self) -> Step:
        node, seconds = self.one(*NODES_THERE[:3]), self.seconds()
        choices = (
            Step(self.pause(), "kill", (node,)),
            Step(self.pause(), "kill", ("leader",)),
            Step(self.pause(), "kill", (self.one("one", "two"),)),
            Step(self.pause(), "freeze", (node, seconds)),
            Step(self.pause(), "freeze", (node, seconds, "with=wire")),
            Step(self.pause(), "freeze", (self.one("one", "two"), seconds)),
            Step(self.pause(), "wire-stuck", (node, self.one("0.5", "3", "12"))),
            Step(self.pause(), "power-off", (node, f"seconds={seconds}")),
            Step(self.pause(), "suspend", (node, seconds)),
        )
        return self.rng.choice(choices)

    def server(self) -> Step:
        choices = (
            Step(self.pause(), "history-lost"),
            Step(self.pause(), "watches-break"),
            Step(self.pause(), "pages", (self.one("1", "2", "500"),)),
            Step(
                self.pause(),
                "refused",
                (
                    self.one("all", "services", "ipallocations", "speakers", "releaseconfirmations", "speakerreports"),
                    f"for={self.one('0.5', '3')}",
                ),
            ),
        )
        return self.rng.choice(choices)

    def rare(self) -> Step:
        """What lives from seeds do not have: they would be others."""
        who, seconds = self.one(*NODES_THERE[:3]), self.seconds()
        field = self.one("conditions", "interfaces", "fencing", "standing", "machine")
        choices = (
            Step(self.pause(), "states-lost", (self.one(who, "allocators", "all"), f"seconds={seconds}")),
            Step(self.pause(), "lists-refused", (self.who(), self.one("speakers", "leases"), f"for={seconds}")),
            Step(self.pause(), "slow", (self.who(), self.one("0.5", "3"), "way=back", f"for={seconds}")),
            Step(self.pause(), "mishaps", (self.who(), "late-write", self.one("0.3", "1"), f"for={seconds}")),
            Step(self.pause(), "refused", ("speakers", f"of={who}", f"field={field}", f"for={seconds}")),
            Step(self.pause(), "refused", ("ipallocations", "port=443", f"for={seconds}")),
            Step(self.pause(), "wire-stopped", (who, seconds)),
            Step(self.pause(), "lease-gone", (who, f"for={seconds}")),
            Step(self.pause(), "lease-unlabelled", (who,)),
            Step(self.pause(), "touched", (self.one("speakers", "releaseconfirmations", "leases"), who)),
            Step(self.pause(), "called-shut-down", (who,)),
            Step(self.pause(), "dropped-routers", (who,)),
            Step(self.pause(), "fence", (self.one("15", "25"),)),
        )
        return self.rng.choice(choices)

    def peer(self, name: str, address: str) -> Step:
        words = [name, address, f"hold={self.one('3', '6')}"]
        if self.rng.random() < 0.5:
            words.append(f"restart={self.one('3', '8')}")
        return Step(self.pause() if name != "tor1" else 0.0, "peer", tuple(words))

    def routing(self) -> Step:
        router, node = self.one(*ROUTERS_THERE), self.one(*NODES_THERE[:3])
        choices = (
            self.peer("tor1", self.one(*ROUTERS_THERE)),
            self.peer("tor2", ROUTERS_THERE[1]),
            Step(self.pause(), "peer-gone", (self.one("tor1", "tor2"),)),
            Step(self.pause(), "bgp", ("all", *([f"peer={self.one('tor1', 'tor2')}"] * (self.rng.random() < 0.5)))),
            Step(self.pause(), "bgp-gone", ("all",)),
            Step(self.pause(), "router-cut", (router, node, f"for={self.seconds()}")),
            Step(self.pause(), "router-hangs", (router, f"for={self.seconds()}")),
        )
        return self.rng.choice(choices)
