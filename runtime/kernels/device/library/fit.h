/* How the engine is fitted to its models, and computed: each file of it begins with this, so it needs no flags. */
@DEFINES@
/* Without the first two its bits differ from machine to machine. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("no-fast-math", "fp-contract=off", "no-trapping-math", "no-math-errno")
#endif
