"""Rules of BGP: what routers may keep of this node, and who knows of it."""

from tests.mutations.edits import Edit
from tests.mutations.mutation import Mutation, Test

REMEMBERED = "speaker.bgp.remembered:RememberedRouters"
COURSE = "tests/speaker/bgp/test_course.py"
PREDECESSOR = "tests/speaker/own/test_predecessor.py"

MUTATIONS = (
    Mutation(
        "router-by-address",
        "a router is remembered for as long as it may keep routes, whatever its BGPPeer says by then",
        f"{REMEMBERED}.show",
        (Edit("dict(present)", "{}"),),
        Test(
            f"{COURSE}::test_a_router_is_remembered_when_its_peer_has_another_address_for_as_long_as_it_may_keep_routes",
            "",
        ),
    ),
    Mutation(
        "routers-first",
        "no session starts before the API server knows its router",
        f"{REMEMBERED}.covers",
        (Edit("self._covered.get(peer.router, 0) >= _seconds(peer)", "True"),),
        Test(f"{COURSE}::test_no_session_before_the_api_server_has_confirmed_how_long_its_routes_live", ""),
    ),
    Mutation(
        "inherit",
        "what a predecessor left with routers holds releases back",
        "speaker.bgp.course:BgpCourse.may_be_heard",
        (Edit("self._remembered.has_inherited(now.monotonic, self._report.synced)", "False"),),
        Test(f"{COURSE}::test_what_a_predecessor_left_with_routers_holds_every_release_back", ""),
    ),
    Mutation(
        "pass-on",
        "what a process inherits it names for its own successor",
        f"{REMEMBERED}.show",
        (Edit("self.inherited(now)", "{}"),),
        Test(
            f"{COURSE}::test_a_peer_that_finds_no_room_among_the_routers_says_so_and_gets_a_session_when_there_is_room",
            "",
        ),
    ),
    Mutation(
        "union-of-reads",
        "all that was read of a predecessor counts, the longest time of each router",
        "speaker.own.predecessor:PredecessorRoutes.take",
        (Edit("max(self._until.get(router, now), now + seconds)", "now + seconds"),),
        Test(
            f"{PREDECESSOR}::test_the_union_of_all_that_was_read_counts",
            "each later word of a predecessor is as true as the one before",
        ),
    ),
    Mutation(
        "read-before",
        "before anything was read of a predecessor, anything may be left",
        "speaker.own.predecessor:PredecessorRoutes.may_be_heard",
        (Edit("if not self._is_known:\n    ...", "pass"),),
        Test(
            f"{PREDECESSOR}::test_before_it_is_known_anything_may_be_left",
            "nobody confirms before it has registered, and it registers after it has read what its predecessor left",
        ),
    ),
    Mutation(
        "agreed",
        "a session in which a router may keep routes for longer than is known does not come up",
        "speaker.bgp.exabgp.session:RouterSession._write_acceptance",
        (Edit("self.covered_seconds is not None and _1", "False"),),
        Test(
            "tests/speaker/bgp/exabgp/test_session.py::"
            "test_a_session_comes_up_only_when_it_is_known_for_how_long_the_router_may_keep_its_routes",
            "sessions are played there",
        ),
    ),
    Mutation(
        "sync",
        "what a router kept through a restart it may have until End-of-RIB",
        "speaker.bgp.exabgp.session:RouterSession._came_up",
        (Edit("self._rib.keep_on(inf)", "self._rib.drop_kept()"),),
        Test(
            "tests/speaker/bgp/exabgp/test_session.py::"
            "test_what_a_router_kept_through_a_restart_may_be_heard_until_it_has_end_of_rib",
            "sessions are played there",
        ),
    ),
    Mutation(
        "asked-anew",
        "a router's answer counts until the next change is ordered",
        "speaker.bgp.course:BgpCourse._order_changes",
        (Edit("self._answers.clear()", "None"),),
        Test(
            f"{COURSE}::test_an_answer_counts_only_until_the_next_change_is_ordered",
            "an answer that no release asks for is forgotten before a route can be wanted again",
        ),
    ),
    Mutation(
        "answered-before",
        "what routers say before an order is carried out is no answer",
        "speaker.bgp.course:BgpCourse.confirmed",
        (Edit("{} if self._orders.changes_routes else dict(what.answers)", "dict(what.answers)"),),
        Test(
            f"{COURSE}::test_what_routers_say_before_an_order_is_carried_out_is_no_answer",
            "what is being released is not announced anew",
        ),
    ),
    Mutation(
        "unknown-is-yes",
        "until routers were asked, any of them may have a route",
        "speaker.bgp.course:BgpCourse.may_be_heard",
        (Edit("self._answers.get(prefix, True)", "self._answers.get(prefix, False)"),),
        Test(f"{COURSE}::test_until_routers_were_asked_any_of_them_may_have_a_route", ""),
    ),
    Mutation(
        "clean-end",
        "a speaker whose routers keep routes says no goodbye",
        "speaker.bgp.course:BgpCourse.withdrew_everything",
        (Edit("not self._report.routers and _1", "True"),),
        Test(f"{COURSE}::test_routes_left_with_routers_are_no_clean_end", ""),
    ),
    Mutation(
        "password-stays",
        "a password that was read stays in use while its Secret is gone",
        "speaker.bgp.passwords:Passwords.of",
        (Edit("self._known.get(peer)", "self._known.get(peer) if _read(ref, secrets) else None"),),
        Test(
            "tests/speaker/bgp/test_passwords.py::test_without_one_that_can_be_read_the_one_read_last_stays",
            "no peer has a password there",
        ),
    ),
)
