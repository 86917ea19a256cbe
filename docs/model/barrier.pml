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

mtype:phase = { dead, started, renewed, registered, serving, stopping };
mtype:write = { nothing, acknowledgement, goodbye };

typedef Speaker {
    mtype:phase phase;
    byte view;                  /* the version its cache holds, while it serves */
    byte wire;                  /* for whom it announces the address: a uid, or 0 */
    /* its object */
    bit exists;
    bit left;                   /* status.goodbye */
    byte acknowledged;          /* the version in status.released */
    /* a write of an earlier process of this node that is still under way */
    mtype:write late;
    byte late_version;
    bit late_fits;              /* its resourceVersion is still the object's */
}
Speaker speaker[SPEAKERS];
byte silent;                    /* whose Leases are old enough: the lemma's "counted as silent", one bit each */

typedef Allocator {
    byte known;                 /* the version that it knows */
    byte passed;                /* the mark whose barrier it found passed */
    byte silent;                /* who was silent by the Leases it read since it knew the mark: one bit each */
#ifdef NO_FRESH_LIST
    bit has_list;
    byte in_list;               /* the Speakers of an earlier list, one bit each */
#endif
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
#define REDUCE_SPEAKER ; \
    if :: S.left -> S.acknowledged = 0 :: else fi; \
    if :: !S.late_fits -> S.late = nothing; S.late_version = 0 :: else fi
/* There is another version: a delete of an older one fails, whatever led to it; of a record that is gone nobody asks. */
#define REDUCE_ALLOCATORS ; \
    i = 0; \
    do \
    :: i < ALLOCATORS && allocator[i].known != version -> allocator[i].passed = 0; allocator[i].silent = 0; i++ \
    :: i < ALLOCATORS && allocator[i].known == version -> i++ \
    :: else -> break \
    od; \
    i = 0; \
    do \
    :: i < SPEAKERS && IS_ABSENT(version) -> speaker[i].acknowledged = 0; i++ \
    :: else -> break \
    od; \
    i = 0
#endif

#ifdef SYMMETRIC
/* Speakers differ by nothing but their numbers, nor do allocators: of all states that are alike but for the numbering
 * one is kept. spin's own simulator can't run this, so whoever wants a trace leaves it out. */
c_code {
    static int weight(struct Speaker *one, int bits)
    {   return bits | one->phase << 4 | one->view << 8 | one->wire << 12 | one->exists << 15 | one->left << 16 |
            one->acknowledged << 17 | one->late << 21 | one->late_version << 24 | one->late_fits << 28;
    }
    static int bits_of(int k)
    {   int a, bits = (now.silent >> k) & 1;
        for (a = 0; a < ALLOCATORS; a++) bits |= ((now.allocator[a].silent >> k) & 1) << (a + 1);
        return bits;
    }
    static unsigned char swapped(unsigned char mask, int k)
    {   int low = (mask >> k) & 1, high = (mask >> (k + 1)) & 1;
        return (mask & ~(3 << k)) | high << k | low << (k + 1);
    }
    static void sort_all(void)
    {   int a, k, again = 1;
        struct Allocator *one = now.allocator;
        if (ALLOCATORS == 2 && (one[0].known << 16 | one[0].passed << 8 | one[0].silent)
                             > (one[1].known << 16 | one[1].passed << 8 | one[1].silent)) {
            struct Allocator other = one[0]; one[0] = one[1]; one[1] = other;
        }
        while (again)
            for (again = k = 0; k + 1 < SPEAKERS; k++)
                if (weight(&now.speaker[k], bits_of(k)) > weight(&now.speaker[k + 1], bits_of(k + 1))) {
                    struct Speaker other = now.speaker[k];
                    now.speaker[k] = now.speaker[k + 1]; now.speaker[k + 1] = other;
                    now.silent = swapped(now.silent, k);
                    for (a = 0; a < ALLOCATORS; a++) one[a].silent = swapped(one[a].silent, k);
                    again = 1;
                }
    }
}
#define SORTED ; c_code { sort_all(); }
#else
#define SORTED
#endif

/* ---- speakers ---- */

/* Any write to the object gives it another resourceVersion. */
#define WRITTEN S.late_fits = 0 REDUCE_SPEAKER

inline forget_view() { S.view = 0; S.wire = 0 }

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

#ifdef NO_RV_SPEAKER
#define LATE_ARRIVES 1
#else
#define LATE_ARRIVES S.late_fits
#endif

proctype SpeakerOf(byte s) {
    do
    /* a process, or one that was silent, begins: LeaseRenewer.renewed_since, Presence.register, Session */
    :: d_step { S.phase == dead -> printf("speaker %d starts\n", WHO); S.phase = started SORTED }
    :: d_step { S.phase == started -> printf("speaker %d renews its Lease\n", WHO); S.phase = renewed; RENEWS SORTED }
#ifdef NO_RENEW_FIRST
    :: d_step { (S.phase == registered || S.phase == serving) && IS_SILENT ->
                printf("speaker %d renews its Lease\n", WHO); RENEWS SORTED }
#endif
    :: d_step { MAY_REGISTER -> printf("speaker %d registers\n", WHO);
                S.phase = registered; S.exists = 1; S.left = 0; S.acknowledged = 0; WRITTEN SORTED }
    :: d_step { MAY_LIST -> printf("speaker %d lists record %d.%d\n", WHO, RECORD(version));
                S.phase = serving; S.view = version SORTED }
#ifdef NO_QUORUM_LIST           /* from an API server that lags */
    :: d_step { MAY_LIST && version > 0 ->
                printf("speaker %d lists record %d.%d from an API server that lags\n", WHO, RECORD(version - 1));
                S.phase = serving; S.view = version - 1 SORTED }
#endif
#ifdef NO_REGISTER_FIRST
    :: d_step { S.phase == serving && !S.exists -> printf("speaker %d registers\n", WHO);
                S.exists = 1; S.left = 0; S.acknowledged = 0; WRITTEN SORTED }
#endif
    /* it serves: Informer, Announcer, WireOrders */
    :: d_step { S.phase == serving && S.view < version -> S.view = NEXT(S.view);
                printf("speaker %d hears of record %d.%d\n", WHO, RECORD(S.view)) SORTED }
    :: d_step { S.phase == serving && !calm && IS_HELD(S.view) && S.wire != UID(S.view) && MAY_ANNOUNCE ->
                S.wire = UID(S.view); printf("speaker %d announces for owner %d\n", WHO, S.wire);
                assert_only_owner(s) SORTED }
    :: d_step { S.phase == serving && S.wire != 0 && (!calm || S.wire != UID(S.view) || IS_MARKED(S.view)) ->
                printf("speaker %d withdraws\n", WHO); S.wire = 0 SORTED }
    :: d_step { S.phase == serving && IS_MARKED(S.view) && IS_WITHDRAWN && S.exists &&
                S.acknowledged != S.view && IS_ASKED_FOR ->
                printf("speaker %d confirms that it does not announce record %d.%d\n", WHO, RECORD(S.view));
                S.acknowledged = S.view; WRITTEN SORTED }
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
                if :: S.wire == 0 -> S.phase = dead :: else fi
#else
                S.phase = dead
#endif
                SORTED }
#ifdef NO_WITHDRAW_FIRST
    :: d_step { S.phase == stopping -> printf("speaker %d withdraws\n", WHO); S.wire = 0; S.view = 0 SORTED }
#endif
    /* faults: it dies, perhaps with its last write under way */
    :: d_step { S.phase != dead && !calm -> printf("speaker %d dies\n", WHO); S.phase = dead; forget_view() SORTED }
    :: d_step { S.phase == stopping && !calm && S.late == nothing ->
                printf("speaker %d dies, its goodbye under way\n", WHO); S.phase = dead; S.late = goodbye; S.late_fits = 1; forget_view() REDUCE_SPEAKER SORTED }
#ifdef ZOMBIES
    /* an agent that was replaced, its wire process gone, confirms what it still sees */
    :: d_step { S.exists && S.late == nothing && !calm && IS_MARKED(version) ->
                printf("a replaced agent of speaker %d confirms record %d.%d\n", WHO, RECORD(version));
                S.late = acknowledgement; S.late_version = version; S.late_fits = 0 SORTED }
#endif
    :: d_step { S.late != nothing -> printf("what the process of speaker %d sent before its end arrives\n", WHO);
                if
                :: LATE_ARRIVES && S.exists && S.late == goodbye -> S.left = 1
                :: LATE_ARRIVES && S.exists && S.late == acknowledgement -> S.acknowledged = S.late_version
                :: else
                fi;
                S.late = nothing; S.late_version = 0; S.late_fits = 0 REDUCE_SPEAKER SORTED }
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
                S.exists = 0; S.left = 0; S.acknowledged = 0; RENEWS; WRITTEN SORTED }
    od
}

/* ---- allocators ---- */

inline forget_reads() {
    A.silent = 0;
#ifdef NO_FRESH_LIST
    A.has_list = 0; A.in_list = 0;
#endif
    skip
}

#ifdef NO_FRESH_LIST
#define MAY_JUDGE A.has_list
#define IS_LISTED(k) ((A.in_list >> (k)) & 1)
#else
#define MAY_JUDGE 1
#define IS_LISTED(k) speaker[k].exists
#endif

#ifdef NO_ACK_UID
#define HAS_ACKNOWLEDGED(k) (speaker[k].acknowledged != 0)
#else
#ifdef NO_ACK_GENERATION
#define HAS_ACKNOWLEDGED(k) (UID(speaker[k].acknowledged) == UID(A.known))
#else
#define HAS_ACKNOWLEDGED(k) (UID(speaker[k].acknowledged) == UID(A.known) && speaker[k].acknowledged >= A.known)
#endif
#endif

#define IS_OFF(k) (!IS_LISTED(k) || speaker[k].left || HAS_ACKNOWLEDGED(k) || (A.silent >> (k)) & 1)
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
    :: d_step { !calm && (A.passed != 0 || A.silent != 0) ->
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
#ifndef NO_LEASES_AFTER_MARK
                forget_reads()
#else
                skip
#endif
                SORTED }
#ifdef UNMARK
    :: d_step { version % STAGES == 2 && !calm ->
                printf("somebody takes the mark back: record %d.%d\n", RECORD(version + 1));
                unmarked[version / STAGES] = 1; version++ SORTED }
#endif
    /* the Leases, then the Speakers, then the judgement: LeaseBook, Round, awaited */
#ifdef EXACT
    :: d_step { MAY_READ_LEASES && A.silent != silent ->
                tell_of_leases(); A.silent = silent SORTED }
#else
    :: d_step { MAY_READ_LEASES && A.known == version && A.silent != silent -> tell_of_leases(); A.silent = silent SORTED }
#endif
#ifdef NO_FRESH_LIST
    :: d_step { !A.has_list -> printf("allocator %c lists the Speakers\n", NAME);
                i = 0; A.has_list = 1; A.in_list = 0;
                do
                :: i < SPEAKERS -> A.in_list = A.in_list | (speaker[i].exists << i); i++
                :: else -> break
                od;
                i = 0 SORTED }
#endif
    :: d_step { IS_MARKED(A.known) && !IS_PASSED(A.known) && MAY_JUDGE && EVERYBODY_IS_OFF && MATTERS ->
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
    calm = 1;
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
