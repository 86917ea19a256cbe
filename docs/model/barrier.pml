/* Withdraw before release: marks, acknowledgements, registration, and what fences mean for them. Without time: a step
 * may come at any moment or never, so whoever lags, is frozen or cut off is simply somebody who takes no step.
 * What an allocator may conclude from a silent Lease is fence.pml's; here stands what it proves:
 *
 *     LEMMA  A speaker that is counted as silent by a read of the Leases is silent at that read, and announces nothing
 *            before a renewal of its own has arrived that was not there at that read.
 *
 * One address. OWNERS Services get it, one after the other and at once. ALLOCATORS of which none knows whether it still
 * leads: they all act, each on what it knows (so a write that is under way for long is one of a colleague who has not
 * heard the news). SPEAKERS that start, join late, stop, crash, fall silent and come back, any number of times.
 *
 * What nobody can tell apart any more is made equal (REDUCE), which saves a factor of 50. -DEXACT leaves that away; all
 * variants that leave a rule out do.
 *
 * -DNO_x leaves a rule out; -DUNMARK lets somebody take a mark back by hand; -DZOMBIES lets a replaced agent live on.
 *
 * Each step says in words what it is, for the traces. Record 1.2 is the first owner's, in generation 2.
 */
#ifndef SPEAKERS
#define SPEAKERS 3
#endif
#ifndef ALLOCATORS
#define ALLOCATORS 2
#endif
#ifndef OWNERS
#define OWNERS 2
#endif

/* The IPAllocation. Its versions are numbered; an owner goes through STAGES of them. */
#ifdef UNMARK
#define STAGES 5                /* absent, held, marked, held again (by hand), marked again */
#else
#define STAGES 3                /* absent, held, marked */
#endif
#define LAST (STAGES * OWNERS)
#define IS_ABSENT(v) ((v) % STAGES == 0)
#define IS_HELD(v)   ((v) % STAGES == 1 || (v) % STAGES == 3)
#define IS_MARKED(v) ((v) % STAGES == 2 || (v) % STAGES == 4)
#define UID(v)       (IS_ABSENT(v) -> 0 : (v) / STAGES + 1)
#define GENERATION(v) ((v) % STAGES)
#define NEXT_ABSENT(v) (((v) / STAGES + 1) * STAGES)
byte version;                       /* the present version: its resourceVersion */

#ifdef UNMARK
bit unmarked[OWNERS];           /* whether that owner's versions 3 and 4 have been */
#define NEXT(v) (((v) % STAGES == 2 && !unmarked[(v) / STAGES]) || (v) % STAGES == 4 -> NEXT_ABSENT(v) : (v) + 1)
#else
#define NEXT(v) ((v) + 1)
#endif

/* A confirmation that arrives late is one that is seen late: to a cache that may show anything there ever was it makes no
 * difference. That it may hide what was there is another matter: -DLATE has these writes as steps of their own. */
mtype:phase = { dead, started, renewed, registered, serving, stopping, refused };
mtype:write = { nothing, registration, goodbye };

typedef Node {
    mtype:phase phase;
    byte view;                  /* the version its cache holds, while it serves */
    byte wire;                  /* for whom it announces the address: a uid, or 0 */
    /* its Speaker: who */
    bit exists;                 /* status.incarnation is there: a process has registered */
    bit mine;                   /* ... and it is the present process */
    bit left;                   /* status.goodbye */
    /* a write of it that is still under way, of a process that has ended */
    mtype:write late;
    bit late_fits;              /* its resourceVersion is still the object's */
    /* its ReleaseConfirmation: the version in status.released, where status.incarnation is the one that the Speaker
     * names; 0 otherwise. An allocator's cache may show whatever the object held at any time, so here is what it ever
     * held. -DLIVENESS: what it holds. */
    byte confirmed;
#ifdef LATE
    byte late_confirmed;        /* a write of it that is still under way; 0: none */
    bit late_is_named;          /* ... it is of the process that the Speaker names */
    bit late_replaces;          /* ... its resourceVersion is still the object's */
#endif
#ifdef ZOMBIES
    bit had_former;             /* a process of it has ended */
#endif
#ifdef NO_RV_CONFIRMATION
    byte sure;                  /* what the present process knows to be confirmed: its write was answered */
#endif
#ifdef NO_REGISTERED_ONLY
    bit made;                   /* there is a Speaker, registered or not */
#endif
}
Node speaker[SPEAKERS];
byte silent;                    /* whose Leases are old enough: the lemma's "counted as silent", one bit each */

typedef Allocator {
    byte known;                 /* the version that it knows */
    byte passed;                /* the mark whose barrier it found passed */
    byte off;                   /* the speakers that it need not wait for, one bit each: since it knew the mark, it read a
                                 * Lease that was old enough, or listed the Speakers, and one was not there or had left */
}
Allocator allocator[ALLOCATORS];

bit calm;                       /* faults have ended; what is under way ends too */
byte i, uid;                    /* scratch, 0 between steps */

#define S speaker[s]
#define IS_SILENT ((silent >> s) & 1)
#define GROWS_SILENT silent = silent | (1 << s)
#define RENEWS silent = silent & (255 - (1 << s))
#define A allocator[a]

/* In traces: speakers 1, 2, allocators A, B, and a version as owner.generation. */
#define WHO (s + 1)
#define NAME ('A' + a)
#define RECORD(v) (v) / STAGES + 1, GENERATION(v)

/* ---- what must hold ---- */

inline assert_only_owner(s) {
    i = 0;
    do
    :: i < SPEAKERS -> assert(speaker[i].wire == 0 || speaker[i].wire == S.wire); i++
    :: else -> break
    od;
    i = 0
}

inline assert_nobody_announces_uid() {
    i = 0;
    do
    :: i < SPEAKERS -> assert(speaker[i].wire != uid); i++
    :: else -> break
    od;
    i = 0; uid = 0
}

/* ---- what makes no difference any more ---- */

#ifdef EXACT
#define REDUCE_SPEAKER
#define REDUCE_ALLOCATORS
#else
/* A goodbye is enough, whatever was confirmed before it. A write that does not fit never will. */
#ifdef LATE
#define REDUCE_CONFIRMATION if :: !S.late_replaces -> S.late_confirmed = 0; S.late_is_named = 0 :: else fi
#else
#define REDUCE_CONFIRMATION skip
#endif
#define REDUCE_SPEAKER ; \
    if :: S.left -> S.confirmed = 0 :: else fi; \
    if :: !S.late_fits -> S.late = nothing :: else fi; \
    REDUCE_CONFIRMATION
/* There is another version: a delete of an older one fails, whatever led to it; of a record that is gone nobody asks. */
#define REDUCE_ALLOCATORS ; \
    i = 0; \
    do \
    :: i < ALLOCATORS && allocator[i].known != version -> \
        allocator[i].passed = 0; allocator[i].off = 0; i++ \
    :: i < ALLOCATORS && allocator[i].known == version -> i++ \
    :: else -> break \
    od; \
    i = 0; \
    do \
    :: i < SPEAKERS && IS_ABSENT(version) -> speaker[i].confirmed = 0; i++ \
    :: else -> break \
    od; \
    i = 0
#endif

#ifdef SYMMETRIC
/* Speakers differ by nothing but their numbers, nor do allocators: of all states that are alike but for the numbering
 * one is kept. spin's own simulator can't run this, so whoever wants a trace leaves it out. */
c_code {
    static unsigned long long weight(struct Node *one, int bits)
    {   unsigned long long late = 0;
#ifdef LATE
        late = one->late_confirmed << 2 | one->late_is_named << 1 | one->late_replaces;
#endif
#ifdef ZOMBIES
        late = late << 1 | one->had_former;
#endif
        return late << 32 | bits | one->phase << 4 | one->view << 8 | one->wire << 12 | one->exists << 15 |
            one->mine << 16 | one->left << 17 | one->late << 18 | one->late_fits << 20 | one->confirmed << 21;
    }
    static int bits_of(int k)
    {   int a, bits = (now.silent >> k) & 1;
        for (a = 0; a < ALLOCATORS; a++) bits |= ((now.allocator[a].off >> k) & 1) << (a + 1);
        return bits;
    }
    static int weight_of(struct Allocator *one) { return one->known << 16 | one->passed << 8 | one->off; }
    static unsigned char swapped(unsigned char mask, int k)
    {   int low = (mask >> k) & 1, high = (mask >> (k + 1)) & 1;
        return (mask & ~(3 << k)) | high << k | low << (k + 1);
    }
    static void sort_all(void)
    {   int a, k, again = 1;
        struct Allocator *one = now.allocator;
        if (ALLOCATORS == 2 && weight_of(&one[0]) > weight_of(&one[1])) {
            struct Allocator other = one[0]; one[0] = one[1]; one[1] = other;
        }
        while (again)
            for (again = k = 0; k + 1 < SPEAKERS; k++)
                if (weight(&now.speaker[k], bits_of(k)) > weight(&now.speaker[k + 1], bits_of(k + 1))) {
                    struct Node other = now.speaker[k];
                    now.speaker[k] = now.speaker[k + 1]; now.speaker[k + 1] = other;
                    now.silent = swapped(now.silent, k);
                    for (a = 0; a < ALLOCATORS; a++) one[a].off = swapped(one[a].off, k);
                    again = 1;
                }
    }
}
#define SORTED ; c_code { sort_all(); }
#else
#define SORTED
#endif

/* ---- speakers ---- */

/* Any write to an object gives it another resourceVersion. */
#define WRITTEN S.late_fits = 0 REDUCE_SPEAKER
#ifdef LATE
#define CONFIRMED S.late_replaces = 0 REDUCE_SPEAKER
#else
#define CONFIRMED skip
#endif

#ifdef NO_INCARNATION           /* a confirmation counts, whoever made it */
#define NAMED_ANEW skip
#elif defined(LATE)
#define NAMED_ANEW S.confirmed = 0; S.late_is_named = 0
#else
#define NAMED_ANEW S.confirmed = 0
#endif

#if defined(EXACT) || defined(LATE)
#define AWAITED_NO_MORE skip
#else
/* Another process registers since an allocator knew the mark. If it listed the Speakers before that, what the former one
 * confirmed counts, and its cache may show that at any time: so here it counts at once, which gives more runs. */
#define AWAITED_NO_MORE \
    i = 0; \
    do \
    :: i < ALLOCATORS && IS_MARKED(allocator[i].known) && allocator[i].known == version -> \
        allocator[i].off = allocator[i].off | (1 << s); i++ \
    :: i < ALLOCATORS && !(IS_MARKED(allocator[i].known) && allocator[i].known == version) -> i++ \
    :: else -> break \
    od; \
    i = 0
#endif

#ifdef NO_RV_CONFIRMATION
#define IS_SURE_OF(v) (S.sure == (v))
#define IS_NOT_SURE S.sure = 0
#define IS_SURE S.sure = S.confirmed
#else
#define IS_SURE_OF(v) (S.confirmed == (v))
#define IS_NOT_SURE skip
#define IS_SURE skip
#endif

inline forget_view() { S.view = 0; S.wire = 0; IS_NOT_SURE }
#ifdef ZOMBIES
inline ends() { S.phase = dead; S.mine = 0; S.had_former = 1; forget_view() }
#else
inline ends() { S.phase = dead; S.mine = 0; forget_view() }
#endif

#ifdef NO_RENEW_FIRST           /* register, list, and renew some time later */
#define MAY_REGISTER (S.phase == started || S.phase == renewed)
#else
#define MAY_REGISTER (S.phase == renewed)
#endif

#ifdef NO_REGISTER_FIRST        /* list, and write the Speaker object some time later */
#define MAY_LIST (S.phase == renewed)
#else
#define MAY_LIST (S.phase == registered)
#endif

#ifdef NO_WITHDRAW_FIRST
#define IS_WITHDRAWN 1
#else
#define IS_WITHDRAWN (S.wire != UID(S.view))
#endif

#ifdef EXACT
#define IS_ASKED_FOR 1
#else
#define IS_ASKED_FOR (S.view == version)    /* nobody asks for that of a record that is gone */
#endif

#ifdef NO_RELIST                /* it goes on with its cache, but no earlier than it has renewed */
#define MAY_ANNOUNCE !IS_SILENT
#else
#define MAY_ANNOUNCE 1
#endif

#define CONFIRMS (S.phase == serving && IS_MARKED(S.view) && IS_WITHDRAWN && S.exists && !IS_SURE_OF(S.view) && IS_ASKED_FOR)

#ifdef NO_RV_SPEAKER
#define LATE_ARRIVES 1
#else
#define LATE_ARRIVES S.late_fits
#endif

#ifdef NO_RV_CONFIRMATION
#define LATE_REPLACES 1
#else
#define LATE_REPLACES S.late_replaces
#endif

#ifdef NO_REGISTERED_ONLY
#define IS_MADE S.made = 1
#define IS_LISTED(k) speaker[k].made
#else
#define IS_MADE skip
#define IS_LISTED(k) speaker[k].exists
#endif

inline register() {
    if
    :: !S.mine -> NAMED_ANEW; AWAITED_NO_MORE
    :: else
    fi;
    S.exists = 1; S.mine = 1; S.left = 0; IS_MADE; WRITTEN
}

proctype SpeakerOf(byte s) {
    do
    /* a process, or one that was silent, begins: LeaseRenewer.renewed_since, Presence.register, Session */
    :: d_step { S.phase == dead -> printf("speaker %d starts, a new process\n", WHO); S.phase = started SORTED }
    :: d_step { S.phase == started -> printf("speaker %d renews its Lease\n", WHO); S.phase = renewed; RENEWS SORTED }
#ifdef NO_RENEW_FIRST
    :: d_step { (S.phase == registered || S.phase == serving) && IS_SILENT ->
                printf("speaker %d renews its Lease\n", WHO); RENEWS SORTED }
#endif
    :: d_step { MAY_REGISTER -> printf("speaker %d registers\n", WHO);
                S.phase = registered; register() SORTED }
#ifdef LIVENESS
    :: d_step { S.phase == renewed && !S.exists && S.late == nothing && !calm ->
                printf("speaker %d creates its Speaker; its registration is refused for good\n", WHO);
                S.phase = refused; IS_MADE SORTED }
#endif
    :: d_step { MAY_LIST -> printf("speaker %d lists record %d.%d\n", WHO, RECORD(version));
                S.phase = serving; S.view = version SORTED }
#ifdef NO_QUORUM_LIST           /* from an API server that lags */
    :: d_step { MAY_LIST && version > 0 ->
                printf("speaker %d lists record %d.%d from an API server that lags\n", WHO, RECORD(version - 1));
                S.phase = serving; S.view = version - 1 SORTED }
#endif
#ifdef NO_REGISTER_FIRST
    :: d_step { S.phase == serving && !S.exists -> printf("speaker %d registers\n", WHO);
                register() SORTED }
#endif
    /* it serves: Informer, Announcer, WireOrders */
    :: d_step { S.phase == serving && S.view < version -> S.view = NEXT(S.view);
                printf("speaker %d hears of record %d.%d\n", WHO, RECORD(S.view)) SORTED }
    :: d_step { S.phase == serving && !calm && IS_HELD(S.view) && S.wire != UID(S.view) && MAY_ANNOUNCE ->
                S.wire = UID(S.view); printf("speaker %d announces for owner %d\n", WHO, S.wire);
                assert_only_owner(s) SORTED }
    :: d_step { S.phase == serving && S.wire != 0 && (!calm || S.wire != UID(S.view) || IS_MARKED(S.view)) ->
                printf("speaker %d withdraws\n", WHO); S.wire = 0 SORTED }
    :: d_step { CONFIRMS -> printf("speaker %d confirms that it does not announce record %d.%d\n", WHO, RECORD(S.view));
                S.confirmed = S.view; IS_SURE; CONFIRMED SORTED }
    /* it stops: Agent._leave, Presence.say_goodbye */
#ifdef NO_WITHDRAW_FIRST
    :: d_step { S.phase == serving && !calm -> printf("speaker %d is asked to stop\n", WHO); S.phase = stopping SORTED }
#else
    :: d_step { S.phase == serving && !calm -> printf("speaker %d is asked to stop, and withdraws\n", WHO);
                S.phase = stopping; forget_view() SORTED }
#endif
    :: d_step { S.phase == stopping -> printf("speaker %d says goodbye\n", WHO);
                S.left = S.exists; WRITTEN;
#ifdef NO_WITHDRAW_FIRST
                if :: S.wire == 0 -> ends() :: else fi
#else
                ends()
#endif
                SORTED }
#ifdef NO_WITHDRAW_FIRST
    :: d_step { S.phase == stopping -> printf("speaker %d withdraws\n", WHO); S.wire = 0; S.view = 0 SORTED }
#endif
    /* faults: it dies, perhaps with its last writes under way */
    :: d_step { S.phase != dead && S.phase != refused && !calm -> printf("speaker %d dies\n", WHO); ends() SORTED }
    :: d_step { S.phase == renewed && !calm && S.late == nothing ->
                printf("speaker %d dies, its registration under way\n", WHO); ends();
                S.late = registration; S.late_fits = 1 REDUCE_SPEAKER SORTED }
    :: d_step { S.phase == stopping && !calm && S.late == nothing ->
                printf("speaker %d dies, its goodbye under way\n", WHO); ends();
                S.late = goodbye; S.late_fits = 1 REDUCE_SPEAKER SORTED }
#ifdef LATE
    :: d_step { CONFIRMS && !calm && S.late_confirmed == 0 ->
                printf("speaker %d dies, its confirmation of record %d.%d under way\n", WHO, RECORD(S.view));
                S.late_confirmed = S.view; S.late_is_named = 1; S.late_replaces = 1; ends() REDUCE_SPEAKER SORTED }
    :: d_step { CONFIRMS && !calm && S.late_confirmed == 0 ->
                printf("speaker %d is cut off and falls silent, its confirmation of record %d.%d under way\n", WHO, RECORD(S.view));
                S.late_confirmed = S.view; S.late_is_named = 1; S.late_replaces = 1;
                S.phase = started; forget_view() REDUCE_SPEAKER SORTED }
#endif
#ifdef ZOMBIES
    /* an agent that was replaced, its wire process gone, confirms what it still sees */
#ifdef LATE
    :: d_step { S.exists && S.had_former && S.late_confirmed == 0 && !calm && IS_MARKED(version) ->
                printf("a replaced agent of speaker %d sends that it does not announce record %d.%d\n", WHO, RECORD(version));
                S.late_confirmed = version; S.late_is_named = !S.mine; S.late_replaces = !(S.mine && S.confirmed != 0)
                REDUCE_SPEAKER SORTED }
#else
    :: d_step { S.exists && !S.mine && S.had_former && !calm && IS_MARKED(version) && S.confirmed != version ->
                printf("a replaced agent of speaker %d confirms record %d.%d\n", WHO, RECORD(version));
                S.confirmed = version REDUCE_SPEAKER SORTED }
#endif
#endif
    :: d_step { S.late != nothing -> printf("what the process of speaker %d sent before its end arrives\n", WHO);
                if
                :: LATE_ARRIVES && S.exists && S.late == goodbye -> S.left = 1; S.late_fits = 0
                :: LATE_ARRIVES && S.late == registration ->
                    NAMED_ANEW; AWAITED_NO_MORE; S.exists = 1; S.mine = 0; S.left = 0; IS_MADE; S.late_fits = 0
                :: else
                fi;
                S.late = nothing; S.late_fits = 0 REDUCE_SPEAKER SORTED }
#ifdef LATE
    :: d_step { S.late_confirmed != 0 -> printf("the confirmation that was under way for speaker %d arrives\n", WHO);
                if
#ifdef NO_INCARNATION
                :: LATE_REPLACES -> S.confirmed = S.late_confirmed
#else
                :: LATE_REPLACES && S.late_is_named -> S.confirmed = S.late_confirmed
#endif
#ifdef LIVENESS
                :: LATE_REPLACES && !S.late_is_named -> S.confirmed = 0        /* it hides what was there */
#endif
                :: else
                fi;
                S.late_confirmed = 0; S.late_is_named = 0; S.late_replaces = 0 REDUCE_SPEAKER SORTED }
#endif
    /* cut off: it falls silent by its promise (AnnouncementRight), which is when its Lease counts as silent */
#ifdef NO_RELIST                /* contact is back, and it goes on with what it knew */
    :: d_step { S.phase == serving && !calm && S.exists && !IS_SILENT ->
                printf("speaker %d is cut off and falls silent; its Lease counts as silent\n", WHO); S.wire = 0; GROWS_SILENT SORTED }
    :: d_step { S.phase == serving && IS_SILENT -> printf("speaker %d renews its Lease, and goes on with its cache\n", WHO);
                RENEWS SORTED }
#else
    :: d_step { (S.phase == serving || S.phase == registered || S.phase == renewed) && !calm ->
                printf("speaker %d is cut off and falls silent\n", WHO);
                S.phase = started; forget_view() SORTED }
#endif
    :: d_step { (S.phase == dead || S.phase == started) && !calm && S.exists && !IS_SILENT ->
                printf("the Lease of speaker %d counts as silent\n", WHO); GROWS_SILENT SORTED }
    /* the operator's word that a dead one is dead: its Speaker or its Node is deleted */
    :: d_step { S.phase == dead && S.exists -> printf("Speaker %d is deleted\n", WHO);
                S.exists = 0; S.left = 0; NAMED_ANEW; RENEWS; WRITTEN SORTED }
    od
}

/* ---- allocators ---- */

inline forget_reads() { A.off = 0 }

#ifdef NO_FRESH_LIST            /* listed whenever */
#define MAY_LIST_SPEAKERS 1
#else
#define MAY_LIST_SPEAKERS IS_MARKED(A.known)
#endif

#ifdef NO_ACK_UID
#define HAS_CONFIRMED(k) (speaker[k].confirmed != 0)
#else
#ifdef NO_ACK_GENERATION
#define HAS_CONFIRMED(k) (UID(speaker[k].confirmed) == UID(A.known))
#else
#define HAS_CONFIRMED(k) (UID(speaker[k].confirmed) == UID(A.known) && speaker[k].confirmed >= A.known)
#endif
#endif

#define IS_OFF(k) ((A.off >> (k)) & 1 || HAS_CONFIRMED(k))
#define NOT_THERE(k) (!IS_LISTED(k) || speaker[k].left)
#if SPEAKERS == 1
#define WHO_IS_NOT_THERE NOT_THERE(0)
#elif SPEAKERS == 2
#define WHO_IS_NOT_THERE (NOT_THERE(0) | NOT_THERE(1) << 1)
#elif SPEAKERS == 3
#define WHO_IS_NOT_THERE (NOT_THERE(0) | NOT_THERE(1) << 1 | NOT_THERE(2) << 2)
#else
#define WHO_IS_NOT_THERE (NOT_THERE(0) | NOT_THERE(1) << 1 | NOT_THERE(2) << 2 | NOT_THERE(3) << 3)
#endif
#if SPEAKERS == 1
#define EVERYBODY_IS_OFF IS_OFF(0)
#elif SPEAKERS == 2
#define EVERYBODY_IS_OFF IS_OFF(0) && IS_OFF(1)
#elif SPEAKERS == 3
#define EVERYBODY_IS_OFF IS_OFF(0) && IS_OFF(1) && IS_OFF(2)
#else
#define EVERYBODY_IS_OFF IS_OFF(0) && IS_OFF(1) && IS_OFF(2) && IS_OFF(3)
#endif

#ifdef NO_UID_PASSED            /* the barrier that was passed is remembered by generation alone */
#define IS_PASSED(v) (A.passed != 0 && GENERATION(A.passed) == GENERATION(v))
#else
#define IS_PASSED(v) (A.passed == (v))
#endif

#ifdef EXACT
#define MATTERS 1
#else
#define MATTERS (A.known == version)
#endif

/* Preconditions of writes: resourceVersion and uid. */
#ifdef NO_PRECONDITIONS
#define FITS(v) (!IS_ABSENT(version))
#else
#ifdef NO_RV                    /* the uid alone */
#define FITS(v) (UID(version) == UID(v))
#else
#define FITS(v) (version == (v))
#endif
#endif

#ifdef NO_FINALIZER_LAST
#define MAY_FINALIZE (!IS_HELD(A.known) && A.known > 0)
#else
#define MAY_FINALIZE (IS_ABSENT(A.known) && A.known > 0)
#endif
#define FINALIZED (IS_ABSENT(A.known) -> A.known / STAGES : UID(A.known))

#ifdef NO_LEASES_AFTER_MARK     /* read whenever */
#define MAY_READ_LEASES 1
#else
#define MAY_READ_LEASES IS_MARKED(A.known)
#endif

inline tell_of_leases() {
    printf("allocator %c reads the Leases: ", NAME);
    if
    :: silent == 0 -> printf("nobody is silent\n")
    :: silent == 1 -> printf("speaker 1 is silent\n")
    :: silent == 2 -> printf("speaker 2 is silent\n")
    :: else -> printf("more than one is silent\n")
    fi
}

proctype AllocatorOf(byte a) {
    do
    /* it hears the news, or starts anew with full lists */
    :: d_step { A.known < version -> A.known = NEXT(A.known);
                printf("allocator %c hears of record %d.%d\n", NAME, RECORD(A.known));
#if !defined(NO_LEASES_AFTER_MARK) && !defined(NO_FRESH_LIST)
                forget_reads();
#endif
#ifndef NO_UID_PASSED
                A.passed = 0
#else
                skip
#endif
                SORTED }
    :: d_step { !calm && (A.passed != 0 || A.off != 0) ->
                printf("allocator %c starts anew\n", NAME); A.known = version; A.passed = 0; forget_reads() SORTED }
    /* a Service gets the address: Ledger, CreateAllocation. Its name is the address, so a second record is refused. */
    :: d_step { IS_ABSENT(A.known) && version < LAST && !calm ->
                printf("allocator %c creates the record of owner %d\n", NAME, A.known / STAGES + 1);
                if
                :: IS_ABSENT(version) -> version = NEXT(version); A.known = version REDUCE_ALLOCATORS
                :: else -> A.known = version
                fi;
                forget_reads() SORTED }
    /* that Service is deleted: PatchAllocation */
    :: d_step { IS_HELD(A.known) && !calm && !IS_ABSENT(version) ->
                printf("allocator %c, by record %d.%d, marks record %d.%d\n", NAME, RECORD(A.known), RECORD(version));
                if
                :: FITS(A.known) && !IS_MARKED(version) ->
                    assert(UID(version) == UID(A.known));           /* nobody else's address is released */
                    version = NEXT(version); A.known = version REDUCE_ALLOCATORS
                :: else -> A.known = version
                fi;
#if !defined(NO_LEASES_AFTER_MARK) && !defined(NO_FRESH_LIST)
                forget_reads();
#endif
                skip SORTED }
#ifdef UNMARK
    :: d_step { version % STAGES == 2 && !calm ->
                printf("somebody takes the mark back: record %d.%d\n", RECORD(version + 1));
                unmarked[version / STAGES] = 1; version++ SORTED }
#endif
    /* the Leases, then the Speakers, then the judgement: LeaseBook, Round, awaited */
    :: d_step { MAY_READ_LEASES && MATTERS && (A.off | silent) != A.off ->
                tell_of_leases(); A.off = A.off | silent SORTED }
    :: d_step { MAY_LIST_SPEAKERS && MATTERS && (A.off | WHO_IS_NOT_THERE) != A.off ->
                printf("allocator %c lists the Speakers\n", NAME); A.off = A.off | WHO_IS_NOT_THERE SORTED }
    :: d_step { IS_MARKED(A.known) && !IS_PASSED(A.known) && EVERYBODY_IS_OFF && MATTERS ->
                printf("allocator %c finds that nobody announces record %d.%d\n", NAME, RECORD(A.known));
                A.passed = A.known; forget_reads() SORTED }
    /* the address is free: DeleteAllocation */
    :: d_step { IS_MARKED(A.known) && IS_PASSED(A.known) ->
                printf("allocator %c, by record %d.%d, deletes record %d.%d\n", NAME, RECORD(A.known), RECORD(version));
                if
                :: FITS(A.known) -> uid = UID(version); assert_nobody_announces_uid(); version = NEXT_ABSENT(version); A.known = version REDUCE_ALLOCATORS
                :: else -> A.known = version                        /* it looks what there is version */
                fi;
#ifndef NO_UID_PASSED
                A.passed = 0;
#endif
                forget_reads() SORTED }
    /* the Service's finalizer goes: PatchService */
    :: d_step { MAY_FINALIZE && !calm -> printf("allocator %c takes the finalizer off owner %d\n", NAME, FINALIZED);
                uid = FINALIZED; assert_nobody_announces_uid() SORTED }
    od
}

#ifdef LIVENESS
/* Faults end. Then all ends (a run that goes on for ever would be an acceptance cycle), and no release is left. */
active proctype End() {
    calm = 1; printf("faults end\n");
accept_waits:
    timeout -> assert(!IS_MARKED(version))
}
#endif

init {
    byte n = 0;
    atomic {
        do
        :: n < SPEAKERS ->
            speaker[n].phase = dead; speaker[n].late = nothing;
            run SpeakerOf(n); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < ALLOCATORS -> run AllocatorOf(n); n++
        :: else -> break
        od;
        n = 0
    }
}
