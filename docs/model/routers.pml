/* What routers may still have: a router keeps a route for a lifetime after the process that sent it is gone, and as long
 * as any router has it the address is on the wire. barrier.pml is about processes, and takes this from here:
 *
 *     LEMMA  When an allocator need not wait for a node (it confirmed, said goodbye, was fenced, or its Speaker was
 *            deleted and its time is over), no router has a route to the address from any process of that node, and
 *            none gets one.
 *
 * One node, whose processes follow each other without end; ROUTERS routers; one address, whose release is marked at some
 * moment; one allocator, which forgets all it has in memory at any moment. In discrete time: a router has dropped a route
 * when its lifetime is over, or earlier. A lifetime is what a router and a process agree on when their session opens.
 * What makes a Lease count as silent is fence.pml's: here silence is what it proves, that the process is off the wire.
 *
 * -DNO_x leaves a rule out. Each step says in words what it is, for the traces.
 */
#ifndef ROUTERS
#define ROUTERS 2
#endif
#ifndef L
#define L 2                         /* the longest lifetime, in units of some seconds; the shortest is 1 */
#endif

mtype:phase = { dead, beginning, serving };

/* ---- the node's present process ---- */
mtype:phase phase = dead;
bit has_looked;                     /* it read its Speaker since it began */
bit saw;                            /* it knows the mark: it announces the address no more */

typedef Router {
    bit up;                         /* it has a session with the present process */
    bit synced;                     /* ... and End-of-RIB was acknowledged: it has nothing but what this process sent */
    bit sent;                       /* ... a route to the address was sent on it, and no withdrawal acknowledged */
    bit route;                      /* it has a route to the address, of whatever process */
    byte life;                      /* what was agreed on when its last session opened */
    byte age;                       /* how long ago that session ended */
    /* status.routers of the Speaker: its entry's outlivesSeconds; 0: none */
    byte named;
    byte asked;                     /* a write of that under way: it is to be this */
    /* what the present process knows */
    byte known;                     /* named, for certain: that write was answered */
    byte keeps;                     /* for how long it may keep what an ended session, or a predecessor, sent it */
}
Router router[ROUTERS];

/* ---- its objects ---- */
bit exists;                         /* the Speaker: a process has registered */
bit left;                           /* ... status.goodbye */
bit confirmed;                      /* the ReleaseConfirmation, in the name of the process that the Speaker names */

/* ---- the allocator ---- */
bit marked;
bit freed;                          /* the address may be somebody else's */
byte silent;                        /* for how long the process has been off the wire by itself, or dead */
byte departed;                      /* a Speaker was deleted: for how long its routers may keep routes */
bit is_written;                     /* ... there is a DepartedSpeaker that says so */

byte i, most;                       /* scratch, 0 between steps */
#define R router[i]
#define EACH(what) i = 0; do :: i < ROUTERS -> what; i++ :: else -> break od; i = 0
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define LESS(a) ((a) > 0 -> (a) - 1 : 0)

#if ROUTERS == 1
#define ANY(p) (p(0))
#elif ROUTERS == 2
#define ANY(p) (p(0) || p(1))
#else
#define ANY(p) (p(0) || p(1) || p(2))
#endif
#define HAS_ROUTE(r) router[r].route
#define IS_NAMED(r) (router[r].named > 0)

/* Whether a router may have a route of ours, as the process knows: speaker.bgp.course */
#ifdef NO_SYNC                      /* what a predecessor sent is over when its time is, whatever became of the session */
#define IS_STALE(r) 0
#else
#define IS_STALE(r) (router[r].up && !router[r].synced)
#endif
#define MAY_HAVE(r) (router[r].sent || IS_STALE(r) || router[r].keeps > 0)
#define MAY_BE_HEARD ANY(MAY_HAVE)

inline session_ends(r) {
    router[r].up = 0; router[r].synced = 0; router[r].sent = 0; router[r].age = 0;
#ifndef NO_LOST                     /* a session that is gone has no routes */
    router[r].keeps = MAX(router[r].keeps, router[r].life)
#else
    skip
#endif
}
inline forgets_all() {
    EACH(R.up = 0; R.synced = 0; R.sent = 0; R.keeps = 0; R.known = 0);
    has_looked = 0; saw = 0
}

/* ---- time ---- */

proctype Time() {
    do
    :: d_step { !freed -> printf("-- time passes\n");
                EACH(
                    R.keeps = LESS(R.keeps);
                    if
                    :: !R.up && R.route -> R.age++;
                        if :: R.age >= R.life -> R.route = 0; R.age = 0 :: else fi
                    :: else
                    fi);
                departed = LESS(departed);
                if :: departed == 0 -> is_written = 0 :: else fi;
                if :: phase != serving && silent < L -> silent++ :: else fi }
    od
}

/* ---- a router, and our session with it ---- */

#ifdef NO_ROUTERS_FIRST             /* sessions come up, and the Speaker says so later */
#define MAY_OPEN(r, lifetime) 1
#elif defined(NO_AGREED)            /* that the router is named is enough, whatever is agreed on in OPEN */
#define MAY_OPEN(r, lifetime) (router[r].known > 0)
#else
#define MAY_OPEN(r, lifetime) (router[r].known >= (lifetime))
#endif

/* A router that nobody remembers keeps nothing of earlier sessions through a new one. */
inline opens(r, lifetime) {
#ifndef NO_CLEAN_OPEN
    if :: router[r].keeps == 0 -> router[r].route = 0 :: else fi;
#endif
    router[r].up = 1; router[r].synced = 0; router[r].life = lifetime; router[r].age = 0
}

proctype RouterOf(byte r) {
    do
    :: d_step { phase == serving && !router[r].up && MAY_OPEN(r, 1) && !freed ->
                printf("a session with router %d opens, lifetime 1\n", r + 1); opens(r, 1) }
    :: d_step { phase == serving && !router[r].up && MAY_OPEN(r, L) && !freed ->
                printf("a session with router %d opens, lifetime %d\n", r + 1, L); opens(r, L) }
    :: d_step { router[r].up && !router[r].synced ->
                printf("router %d acknowledges End-of-RIB\n", r + 1);
                router[r].synced = 1; router[r].route = router[r].sent; router[r].keeps = 0 }
    :: d_step { router[r].up && !router[r].sent && !saw ->
                printf("a route to the address goes to router %d\n", r + 1);
                router[r].route = 1; router[r].sent = 1; assert(!freed) }
#ifdef NO_READ                      /* that its TCP has the withdrawal is enough; its process may hang */
    :: d_step { router[r].sent -> printf("the TCP of router %d has the withdrawal\n", r + 1); router[r].sent = 0 }
#endif
    :: d_step { router[r].sent -> printf("router %d acknowledges that it is withdrawn\n", r + 1);
                router[r].route = 0; router[r].sent = 0 }
    :: d_step { router[r].up -> printf("the session with router %d ends\n", r + 1); session_ends(r) }
    :: d_step { !router[r].up && router[r].route -> printf("router %d drops the route\n", r + 1); router[r].route = 0; router[r].age = 0 }
    /* status.routers */
    :: d_step { phase == serving && router[r].asked == 0 && router[r].known == 0 && !freed ->
                printf("a write is sent that names router %d, lifetime 1\n", r + 1); router[r].asked = 1 }
    :: d_step { phase == serving && router[r].asked == 0 && router[r].known < L && !freed ->
                printf("a write is sent that names router %d, lifetime %d\n", r + 1, L); router[r].asked = L }
    :: d_step { router[r].asked > router[r].named && exists ->
                printf("that write arrives\n");
                router[r].named = router[r].asked }
    :: d_step { phase == serving && router[r].asked != 0 && router[r].asked == router[r].named ->
                printf("that is answered\n"); router[r].known = router[r].asked; router[r].asked = 0 }
#ifdef NO_NAMED_ON                  /* an entry goes with its session */
    :: d_step { phase == serving && !router[r].up && router[r].asked == 0 && router[r].named > 0 && !freed ->
#else
    :: d_step { phase == serving && !router[r].up && router[r].asked == 0 && router[r].named > 0 && router[r].keeps == 0 && !freed ->
#endif
                printf("router %d is named no more\n", r + 1); router[r].named = 0; router[r].known = 0 }
    od
}

/* ---- our process ---- */

#ifdef NO_PASS_ON                   /* its registration names none; what it inherited stays in memory */
#define INHERITED(keeps) 0
#else
#define INHERITED(keeps) keeps
#endif

proctype Process() {
    do
    :: d_step { phase == dead && !freed -> printf("a process starts\n"); phase = beginning }
    :: d_step { phase == beginning -> printf("it reads its Speaker\n");
                has_looked = 1;
#ifdef NO_INHERIT
                skip
#else
                EACH(if :: exists -> R.keeps = MAX(R.keeps, R.named) :: else fi)
#endif
                }
    :: d_step { phase == beginning && has_looked && !freed -> printf("it registers, and lists the record\n");
                phase = serving; exists = 1; left = 0; confirmed = 0; silent = 0; saw = marked;
                EACH(R.named = INHERITED(R.keeps); R.known = 0; R.asked = 0) }
    :: d_step { phase == serving && marked && !saw -> printf("it hears of the mark\n"); saw = 1 }
    :: d_step { phase == serving && saw && !confirmed && !MAY_BE_HEARD -> printf("it confirms\n"); confirmed = 1 }
    :: d_step { phase == serving && !MAY_BE_HEARD && !freed -> printf("it stops, and says goodbye\n");
                left = 1; phase = dead; silent = 0; forgets_all() }
    :: d_step { phase == serving && !freed -> printf("it is cut off and falls silent\n");
                EACH(if :: R.up -> session_ends(i) :: else fi; R.known = 0);
                phase = beginning; has_looked = 0; silent = 0 }
    :: d_step { phase != dead && !freed -> printf("it dies\n");
                EACH(if :: R.up -> R.age = 0 :: else fi);
                if :: phase == serving -> silent = 0 :: else fi;
                phase = dead; forgets_all() }
    od
}

/* ---- the allocator, and the operator ---- */

#ifdef NO_LIFETIME                  /* silence is enough */
#define OUTLIVED 1
#else
#define OUTLIVED (silent >= most)
#endif

inline most_named() { most = 0; EACH(most = MAX(most, R.named)) }

proctype Allocator() {
    do
    :: d_step { !marked -> printf("the record is marked\n"); marked = 1 }
    :: d_step { marked && !freed && (!exists || left || confirmed) && departed == 0 ->
                printf("the allocator frees the address\n"); freed = 1; assert(!ANY(HAS_ROUTE)) }
    :: d_step { marked && !freed && exists && phase != serving && departed == 0 ->
                most_named();
                if
                :: OUTLIVED -> printf("the allocator finds it silent for long enough and frees the address\n");
                    freed = 1; assert(!ANY(HAS_ROUTE))
                :: else
                fi;
                most = 0 }
    /* the operator's word that the node is dead; it says nothing of routers */
    :: d_step { phase == dead && exists && !freed ->
                printf("Speaker 1 is deleted\n");
                most_named();
                departed = (left -> departed : MAX(departed, most));
#ifndef NO_DEPARTED                 /* the allocator keeps it in memory, and no DepartedSpeaker */
                is_written = (departed > 0);
#endif
                most = 0; exists = 0; left = 0; confirmed = 0;
                EACH(R.named = 0; R.asked = 0) }
    :: d_step { departed > 0 && !is_written -> printf("all allocators start anew\n"); departed = 0 }
    /* the operator's word that the routers have dropped all: kubectl delete departedspeaker */
    :: d_step { departed > 0 && is_written && !ANY(HAS_ROUTE) -> printf("the DepartedSpeaker is deleted\n"); departed = 0; is_written = 0 }
    od
}

init {
    byte n = 0;
    atomic {
        do
        :: n < ROUTERS -> run RouterOf(n); n++
        :: else -> break
        od;
        run Time(); run Process(); run Allocator(); n = 0
    }
}
