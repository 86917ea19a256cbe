"""Rules of sharing: which Services may stand beside each other at one address, and what keeps one from an address."""

from tests.mutations.edits import Edit
from tests.mutations.mutation import Mutation, Test

SHARING, PLAN, OFFERS = "allocator.sharing", "tests/allocator/test_plan.py", "allocator.offers:Offers"

MUTATIONS = (
    Mutation(
        "sharing-ports",
        "no two Services at one address have the same port",
        f"{SHARING}:why_not_together",
        (Edit("collision is not None", "False"),),
        Test(f"{PLAN}::test_what_does_not_go_together_is_refused_at_that_address", ""),
    ),
    Mutation(
        "sharing-wanted-ports",
        "nobody joins on a port that a holder has, though its record does not say so",
        f"{OFFERS}._why_not_join",
        (Edit("None if collision is None else _1", "None"),),
        Test(f"{PLAN}::test_nobody_joins_on_a_port_that_a_holder_has_though_its_record_does_not_say_so", ""),
    ),
    Mutation(
        "sharing-key",
        "only Services with the same key share",
        f"{SHARING}:why_not_together",
        (Edit("request.sharing_key != claim.sharing_key", "False"),),
        Test(f"{PLAN}::test_what_does_not_go_together_is_refused_at_that_address", ""),
    ),
    Mutation(
        "sharing-no-key",
        "a Service without a key shares with nobody",
        f"{SHARING}:why_not_together",
        (Edit("request.sharing_key is None or claim.sharing_key is None", "False"),),
        Test(f"{PLAN}::test_what_does_not_go_together_is_refused_at_that_address", ""),
    ),
    Mutation(
        "sharing-policy",
        "only Services with the same traffic policy share",
        f"{SHARING}:_why_policies_part",
        (Edit("request.traffic_policy != claim.traffic_policy", "False"),),
        Test(f"{PLAN}::test_who_has_the_policy_cluster_does_not_join_who_have_local", ""),
    ),
    Mutation(
        "sharing-selectors",
        "under Local only Services with equal selectors share",
        f"{SHARING}:_why_policies_part",
        (Edit("request.selector != claim.selector", "False"),),
        Test(f"{PLAN}::test_local_services_share_with_equal_selectors_only", "all Services have one selector there"),
    ),
    Mutation(
        "sharing-local-namespace",
        "under Local only Services of one namespace share",
        f"{SHARING}:_why_local_parts",
        (Edit("stranger is None", "True"),),
        Test(f"{PLAN}::test_under_local_no_two_namespaces_share_though_selectors_are_equal", ""),
    ),
    Mutation(
        "sharing-namespace",
        "a key is good for one namespace, unless the pool opens it",
        f"{SHARING}:why_apart",
        (Edit("stranger is not None and sharing is Sharing.SameNamespace", "False"),),
        Test(f"{PLAN}::test_a_key_is_good_for_one_namespace_unless_the_pool_opens_it", ""),
    ),
    Mutation(
        "sharing-nobody",
        "a pool may let nobody share",
        f"{SHARING}:why_apart",
        (Edit("sharing is Sharing.Nobody", "False"),),
        Test(f"{PLAN}::test_a_pool_that_lets_nobody_share_refuses_also_those_of_one_namespace", ""),
    ),
    Mutation(
        "sharing-in-a-gone-pool",
        "a pool that is gone lets nobody of another namespace join",
        "allocator.offers:sharing_in",
        (Edit("Sharing.SameNamespace if pool is None else pool.sharing", "Sharing.AnyNamespace"),),
        Test(f"{PLAN}::test_a_key_is_good_for_one_namespace_unless_the_pool_opens_it", ""),
    ),
    Mutation(
        "joining-in-a-gone-pool",
        "a pool that is gone lets nobody join who asks for the address",
        f"{OFFERS}._held_by_others",
        (Edit("if pool is None:\n    ...", "if pool is None:\n    return joined(entry.claim, self._request)"),),
        Test(f"{PLAN}::test_a_pool_that_is_gone_lets_nobody_join_an_address_of_its_namespaces", ""),
    ),
    Mutation(
        "sharing-holders",
        "no more Services share an address than its record holds",
        f"{SHARING}:_why_too_many",
        (Edit("len(others) >= MAX_HOLDERS", "False"),),
        Test(f"{PLAN}::test_an_address_is_shared_by_as_many_as_its_record_is_for", "there are five Services at most"),
    ),
    Mutation(
        "sharing-bytes",
        "no record grows larger than an object may be",
        f"{SHARING}:_why_too_many",
        (Edit("wire_bytes(_1) > MOST_BYTES", "False"),),
        Test(
            f"{PLAN}::test_an_address_is_shared_until_its_record_would_be_too_large", "there are five Services at most"
        ),
    ),
    Mutation(
        "settling-ports",
        "holders that change all at once get no port that another one has",
        "allocator.settlement:_changed",
        (Edit("any(owners[port] != uid for port in one.ports)", "False"),),
        Test("tests/allocator/test_settlement.py", ""),
    ),
    Mutation(
        "settling-terms",
        "a holder that did nothing is not outvoted at its address",
        "allocator.settlement:_agreed",
        (Edit("present in wanted or not counted or is_tie", "not counted"),),
        Test("tests/allocator/test_settlement.py::test_those_who_did_nothing_are_never_outvoted", ""),
    ),
    Mutation(
        "hidden-ports",
        "a Service that takes a port of another namespace's is not shown at the address",
        "allocator.plan:_hidden",
        (Edit("frozenset(_1)", "frozenset()"),),
        Test(f"{PLAN}::test_a_holder_that_takes_a_port_of_another_namespace_is_not_shown_and_is_told_why", ""),
    ),
    Mutation(
        "keeps-what-it-has",
        "a holder that does not fit any more keeps the address as it is recorded",
        "allocator.plan:_Planner._move",
        (Edit("_Outcome(slot, home.claim, found)", "_Outcome(slot, None, found)"),),
        Test(f"{PLAN}::test_a_holder_that_adds_a_port_of_another_keeps_what_it_has_and_is_told_which_and_whose", ""),
    ),
    Mutation(
        "leaving-after-the-status",
        "an address is given up once the Service's status names it no more",
        "allocator.assigner:Assigner._service_step",
        (
            Edit(
                "entries = [self.ledger.get(grant.address) for grant in decision.grants]",
                "entries = [self.ledger.get(grant.address) for grant in decision.grants]\n"
                "for address in decision.leaving:\n"
                "    self._deciding.leave(self.ledger.get(address), service.metadata.uid)",
            ),
        ),
        Test(
            "tests/allocator/test_assigner_moves.py::"
            "test_an_old_address_is_not_given_up_before_the_status_names_the_new_one",
            "",
        ),
    ),
    Mutation(
        "releasing-is-nobodys",
        "what is being released is given to nobody",
        f"{OFFERS}._held_by_others",
        (Edit("if entry.claim.releasing:\n    ...", "pass"),),
        Test(f"{PLAN}::test_what_is_being_released_is_not_given_to_anybody_not_even_to_its_holder", ""),
    ),
    Mutation(
        "quota",
        "a namespace gets no more of a pool than its share",
        f"{OFFERS}._is_over_quota",
        (Edit("held + new - self._leaves(pool) >= pool.max_per_namespace", "False"),),
        Test(f"{PLAN}::test_a_namespace_gets_no_more_than_its_share", ""),
    ),
    Mutation(
        "quota-shared",
        "an address that a Service leaves to others of its namespace counts on",
        f"{OFFERS}._leaves",
        (
            Edit(
                "len(entry.claim.holders_in(own.key.namespace)) == 1",
                "True",
            ),
        ),
        Test(f"{PLAN}::test_who_leaves_an_address_to_others_of_its_namespace_frees_nothing", ""),
    ),
    Mutation(
        "quota-leaving",
        "who joins one that is about to leave costs the namespace an address",
        f"{OFFERS}._stays",
        (Edit("len(self._ledger.in_use_by_uid(holder.uid)) <= len(wish.slots)", "True"),),
        Test(f"{PLAN}::test_who_joins_one_that_is_about_to_leave_has_an_address_more_for_the_namespace", ""),
    ),
    Mutation(
        "quota-undecided",
        "what a Service may yet keep is not taken to be left",
        f"{OFFERS}._leaves",
        (Edit("alone - self.undecided", "alone"),),
        Test(f"{PLAN}::test_each_of_several_addresses_counts_towards_the_quota", ""),
    ),
    Mutation(
        "asked-pool",
        "a Service that asks for a pool gets an address of that one",
        "allocator.policy:candidates",
        (Edit("if request.pools:\n    ...", "pass"),),
        Test(f"{PLAN}::test_of_named_pools_the_first_that_has_room_serves_and_a_service_in_any_of_them_stays", ""),
    ),
    Mutation(
        "require-all",
        "with RequireDualStack no address is taken until there is one of each family",
        "allocator.plan:_Planner.plan",
        (Edit("self._request.requires_all and not _1", "False"),),
        Test(f"{PLAN}::test_require_takes_all_or_nothing", ""),
    ),
    Mutation(
        "shown-is-its-own",
        "what a status shows is kept for its Service when a pool comes",
        "allocator.deciding:Deciding.adopt_shown",
        (Edit("for key, service in _1:\n    ...", "pass"),),
        Test(
            "tests/allocator/test_assigner_adopts.py::test_what_one_status_shows_is_given_to_nobody_who_shows_an_address_of_no_pool",
            "",
        ),
    ),
    Mutation(
        "rest",
        "a freed address rests as long as its pool says",
        "allocator.ledger:Ledger.free",
        (Edit("pool.reuse_after_seconds > 0", "False"),),
        Test("tests/allocator/test_assigner.py::test_a_rested_address_is_handed_on", ""),
    ),
)
