/* What an allocator may conclude from a silent Lease: the lemma that barrier.pml stands on. In discrete time.
 *
 *     LEMMA  A speaker that is counted as silent by a read of the Leases is silent at that read, and announces nothing
 *            before a renewal of its own has arrived that was not there at that read.
 *
 * One speaker, US, that promised, and a witness of its promise. Two strict majorities of the witnesses have one in common:
 * whenever we speak past F because a majority says that it lost contact with us, and an allocator counts us as silent
 * because a majority outlived us, there is one witness that is in both. This is that witness; all others are such as are
 * worst for us: to the allocator they have outlived us long ago, to us they say nothing.
 *
 * Nothing is forced to happen but the passing of time: any process may be frozen, any request stuck and its answer lost,
 * any heartbeat lost, the API server out of reach for whom you like, the witness may die and come back. The one thing that
 * keeps time is our wire process, which compares its permit with the clock at each frame.
 *
 * A run is one silence: from the sending of our last renewal that was answered (t = 0) until the agent takes in a later
 * one. All that matters of a witness's contact is whether it began later than K after that: one bit, "late".
 *
 * -DNO_x leaves a rule out. -DDRIFT: clocks of different speed. -DABSENT: our Lease is deleted, or lost from the lists. -DJOINER: others join, and the promise is made anew with
 * them as witnesses, without this one. Each step says in words what it is, for the traces.
 */

/* In units of some seconds; crds/fencing.py has the real figures. */
#ifndef F
#define F 5                         /* the promise: so long after the last renewal */
#endif
#ifndef K
#define K 2                         /* outlived_after_seconds */
#endif
#define MARGIN 1                    /* margin_seconds, no less than PERMIT */
#define PERMIT 1                    /* WIRE_PERMIT_SECONDS */
#define HEARD 1                     /* HEARD_SECONDS */
#if defined(DRIFT) && !defined(NO_SLACK)
#define SLACK 1                     /* what SETTLE_SECONDS and OUTLIVED_SLACK_SECONDS have for clocks that run fast */
#else
#define SLACK 0
#endif
#ifdef NO_SETTLE
#define SETTLE 0
#else
#define SETTLE (PERMIT + HEARD + SLACK)         /* SETTLE_SECONDS */
#endif
#ifdef NO_PROOF                     /* one new version is enough */
#define PROOF 1
#endif
#ifndef PROOF
#define PROOF 3                     /* PROOF_RENEWALS */
#endif
#define END (F + SETTLE + 1)
#define NEVER 255

mtype:request = { none, under_way, arrived };

/* ---- us ---- */
byte t;                             /* how long ago the renewal was sent that the agent goes by */
byte permit;                        /* for how long the wire may still speak: it does while this is not 0 */
bit lost;                           /* AnnouncementRight.must_register */
mtype:request renewal = none;       /* a later one */
bit answered;                       /* ... whose answer the agent has not taken in yet */
bit over;                           /* the agent has taken it in */

/* The promise: what the object holds, and what the agent knows that it may hold (Promise.binding). */
bit promised = 1;
bit binds = 1;
bit bound = 1;                      /* ... at the last tick or since */
#ifdef JOINER
bit joined;
bit promised_anew;                  /* this witness is none of the object's promise any more */
bit binds_anew;
bit binds_old = 1;
#endif

/* ---- the witness ---- */
typedef Witness {
    bit is_up;
    bit late;                       /* what it knows of its contact, see own_contact */
    bit says;                       /* what its wire process was told of that, and heartbeats carry */
    mtype:request renewal;
    bit renewal_late;               /* when that was sent */
    byte heard;                     /* how long ago we heard it say that it is not late; NEVER */
    /* in the allocator's LeaseBook */
    bit has_news;                   /* its Lease has another version than at the last read */
    byte seen;                      /* new versions since the first read later than K; NEVER: there was none */
    byte proven;                    /* for how long it is known to have outlived us; NEVER */
}
Witness witness;

/* ---- the allocator ---- */
byte silent = NEVER;                /* how long it has seen our Lease unchanged; NEVER: it has not seen it yet */
bit our_news = 1;                   /* our Lease has another version than at the last read */
#ifdef ABSENT
bit absent;                         /* a read of the Leases does not show ours */
#endif
#ifdef DRIFT
bit ran_fast;                       /* its clock gains one unit, once */
#endif
bit counted;                        /* by that read we count as silent, if the Speakers, listed next, say we promised */
bit spoke;                          /* (nobody knows) we have spoken at that read or since */
bit fenced;

#define W witness
#define SAYS_LOST (W.heard <= HEARD)
#define SETTLED (W.proven != NEVER && W.proven >= SETTLE)

#ifdef NO_ISLAND_MAJORITY           /* who is cut off speaks on, whatever it hears */
#define IS_OUTAGE 1
#elif defined(JOINER) && defined(NO_BOTH_PROMISES)     /* by the promise whose answer came last */
#define IS_OUTAGE (binds_old && SAYS_LOST)
#elif defined(JOINER)
#define IS_OUTAGE (!binds_anew && SAYS_LOST)
#else
#define IS_OUTAGE SAYS_LOST
#endif

#ifdef NO_OUTVOTING                 /* silence alone is enough */
#define IS_OUTVOTED 1
#elif defined(NO_WITNESSES)         /* a majority of all there are: who joined counts too */
#define IS_OUTVOTED (joined || SETTLED)
#elif defined(JOINER)
#define IS_OUTVOTED (promised_anew || SETTLED)
#else
#define IS_OUTVOTED SETTLED
#endif

#ifdef NO_MARGIN
#define MUST_BE_SILENT (t >= F && !IS_OUTAGE)
#else
#define MUST_BE_SILENT (t >= F - MARGIN && !IS_OUTAGE)
#endif

/* ---- time ---- */

#define OLDER(clock, most) clock = (clock >= (most) -> clock : clock + 1)

proctype Time() {
    do
    :: d_step { t < END && !over && !fenced ->
                t++;
#ifdef NO_PERMIT                    /* the wire speaks until it is told otherwise */
                skip;
#else
                permit = (permit > 0 -> permit - 1 : 0);
#endif
                if :: silent != NEVER -> OLDER(silent, F) :: else fi;
#ifndef NO_HEARD_LIMIT               /* what was said once counts for good */
                W.heard = (W.heard < HEARD -> W.heard + 1 : NEVER);
#endif
                if :: W.proven != NEVER -> OLDER(W.proven, SETTLE) :: else fi;
                printf("-- %d since our last renewal; permit %d\n", t, permit) }
    od
}

/* ---- us ---- */

#ifdef NO_LOOK_BACK                 /* contact is back, and that is that */
#define MAY_HAVE_BEEN_FENCED 0
#else
#define MAY_HAVE_BEEN_FENCED ((bound || binds) && MUST_BE_SILENT)
#endif

#ifdef NO_CONTACT_TO_PROMISE
#define MAY_PROMISE 1
#else
#define MAY_PROMISE (t < K)
#endif

proctype Us() {
    do
    /* AnnouncementRight.tick: first it looks back, then it takes in what is new */
    :: d_step { !over -> printf("we tick");
                if
                :: (answered || bound != binds) && MAY_HAVE_BEEN_FENCED -> printf(", see that we may have been fenced"); lost = 1
                :: else
                fi;
                bound = binds;
                if
                :: answered ->
                    over = 1; permit = 0;
                    if
                    :: lost -> printf(", take in the answer and register anew\n")
                    :: else -> printf(", take in the answer and go on\n")
                    fi;
                    assert(lost || !fenced);
                    assert(lost || !counted || !promised)       /* it goes on with its old caches */
                :: !answered && (lost || binds && MUST_BE_SILENT) -> printf(" and are silent\n"); permit = 0
                :: else ->
                    printf(" and speak\n");
                    assert(!fenced);
                    permit = PERMIT; spoke = 1
                fi }
    /* LeaseRenewer: the version that a renewal names must be known, so one arrives at a time */
    :: d_step { renewal == none && !over -> printf("we send a renewal\n"); renewal = under_way }
    :: d_step { renewal == under_way -> printf("our renewal arrives\n"); renewal = arrived; our_news = 1 }
    :: d_step { renewal == arrived && !answered -> printf("our renewal is answered\n"); answered = 1 }
#ifdef NO_SENDING_TIME              /* the renewal that we go by counts from its answer, which took a while */
    :: d_step { t == 2 && renewal == none && silent != NEVER ->
                printf("our last renewal is answered, and counts from now\n"); t = 0 }
#endif
    /* Promise: binding from its sending on; until a later one is answered */
    :: d_step { !binds && !promised && MAY_PROMISE && !over -> printf("we send a promise\n"); binds = 1; bound = 1 }
    :: d_step { binds && !promised && !over -> printf("our promise arrives\n"); promised = 1 }
    :: d_step { promised && !over -> printf("we take the promise back: that arrives\n"); promised = 0 }
    :: d_step { binds && !promised && !over -> printf("that is answered\n"); binds = 0 }
#ifdef JOINER
    :: d_step { !joined -> printf("others join\n"); joined = 1 }
    :: d_step { joined && !binds_anew && MAY_PROMISE && !over -> printf("we send a promise with them as witnesses\n"); binds_anew = 1 }
    :: d_step { binds_anew && binds_old && !promised_anew -> printf("that promise arrives\n"); promised_anew = 1 }
    :: d_step { binds_old && promised_anew && !over -> printf("that promise is answered\n"); binds_old = 0 }
#endif
    od
}

/* ---- the witness ---- */

#ifdef NO_SAY_FIRST
#define HAS_SAID 1
#else
#define HAS_SAID (W.says == W.late)     /* on_renewed comes before the next renewal */
#endif

#ifdef NO_CHAIN                     /* a renewal names no version: it may follow one of which nothing is known */
#define MAY_RENEW W.is_up
#else
#define MAY_RENEW (W.is_up && W.renewal != arrived)
#endif

proctype TheWitness() {
    do
    /* LeaseRenewer: a second attempt takes the place of the first, or does not */
    :: d_step { MAY_RENEW && HAS_SAID && (W.renewal != under_way || W.renewal_late != (t >= K)) ->
                printf("the witness sends a renewal\n");
                W.renewal = under_way; W.renewal_late = (t >= K) }
    :: d_step { W.renewal == under_way -> printf("a renewal of the witness arrives\n");
                W.renewal = arrived;
                W.has_news = (W.seen != NEVER && W.proven == NEVER) }
    :: d_step { W.renewal == arrived && W.is_up ->              /* answered, or read back */
                printf("that renewal of the witness is answered\n");
                W.renewal = none; W.late = W.late || W.renewal_late; W.renewal_late = 0 }
    /* heartbeats: what the wire process was told, and whether we hear it */
    :: d_step { W.is_up && W.says != W.late -> printf("the wire process of the witness is told of its contact\n"); W.says = W.late }
    :: d_step { W.is_up && !W.says && W.heard != 0 -> printf("we hear the witness say that it had no contact past K\n"); W.heard = 0 }
    :: d_step { W.is_up && W.says && W.heard != NEVER -> printf("we hear the witness say that it had contact past K\n"); W.heard = NEVER }
    /* it dies and comes back: what is under way stays so, and is not its own any more */
    :: d_step { W.is_up -> printf("the witness dies\n"); W.is_up = 0; W.late = 0; W.says = 0; W.renewal_late = 0 }
#ifdef NO_START_COUNTS
    :: d_step { !W.is_up -> printf("the witness starts\n"); W.is_up = 1 }
#else
    :: d_step { !W.is_up -> printf("the witness starts\n"); W.is_up = 1; W.late = (t >= K); W.says = (t >= K) }
#endif
    od
}

/* ---- the allocator ---- */

inline read_witness() {
    if
    :: silent == NEVER || silent < K + SLACK -> skip
    :: else ->
        if
        :: W.seen == NEVER -> printf(": the first look at the witness past K"); W.seen = 0
        :: W.seen != NEVER && W.has_news && W.proven == NEVER ->
            W.seen = W.seen + 1; printf(": new version %d of the witness", W.seen);
            if :: W.seen >= PROOF -> printf(", which has outlived us"); W.proven = 0 :: else fi
        :: else
        fi
    fi;
    W.has_news = 0
}

inline forget_witness() { W.seen = NEVER; W.proven = NEVER }

#ifdef NO_PROMISE
#define HAS_PROMISED 1
#else
#define HAS_PROMISED promised
#endif

#ifdef ABSENT
#define IS_ABSENT absent
#else
#define IS_ABSENT 0
#endif
#ifdef NO_LEASE_THERE               /* one that is not there was not renewed */
#define PROVES_SILENCE 1
#else
#define PROVES_SILENCE !IS_ABSENT
#endif

proctype Allocator() {
#ifdef NO_LEASES_FIRST              /* the Speakers, then the Leases */
    bit listed = 0;
    do
    :: d_step { promised && !listed && !fenced -> printf("the allocator lists the Speakers: we promised\n"); listed = 1 }
    :: d_step { !fenced && !over && silent == F && !our_news && IS_OUTVOTED && listed ->
                printf("the allocator reads the Leases and fences us\n");
                fenced = 1; assert(permit == 0) }
#else
    do
#endif
#ifdef DRIFT
    :: d_step { !ran_fast && silent != NEVER -> printf("the allocator's clock gains a unit\n");
                ran_fast = 1; OLDER(silent, F);
                if :: W.proven != NEVER -> OLDER(W.proven, SETTLE) :: else fi }
#endif
#ifdef ABSENT
    /* since an earlier renewal: what was counted by that one */
    :: d_step { t == 0 && silent == NEVER && !absent && !over -> printf("our Lease has long been in no list\n");
                absent = 1; silent = F; W.seen = 0; W.proven = SETTLE }
    :: d_step { !fenced && !over -> absent = !absent;
                if :: absent -> printf("our Lease is in no list any more\n") :: else -> printf("our Lease is in the lists again\n") fi }
#endif
    /* LeaseBook.observe */
    :: d_step { !fenced && !over -> printf("the allocator reads the Leases");
                if
                :: IS_ABSENT -> printf(": ours is not there")
                :: !IS_ABSENT && our_news -> printf(": ours is new"); our_news = 0; silent = 0; forget_witness()
                :: else
                fi;
                read_witness();
                counted = (silent >= F && silent != NEVER && IS_OUTVOTED && PROVES_SILENCE);
                spoke = (permit > 0);
                if :: counted -> printf("; we count as silent\n") :: else -> printf("\n") fi }
    /* the Speakers are listed: awaited */
    :: d_step { counted && HAS_PROMISED && !fenced && !over -> printf("the allocator lists the Speakers, and fences us\n"); fenced = 1; assert(!spoke) }
    od
}

init {
    atomic {
        W.is_up = 1; W.renewal = none; W.heard = NEVER; forget_witness();
        run Time(); run Us(); run TheWitness(); run Allocator()
    }
}
