/* One model serves many threads, each with streams of its own: every answer is that of the stream on its own.
 *
 *     threads [PLANS]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../src/plan.h"
#include "random_plan.h"
#include "running.h"

enum { THREADS = 8, STREAMS = 4, FRAMES = 40 };

typedef struct job {
  const tide_model *model;
  uint64_t seed; /* of its frames */
  int good;
} job;

/* Runs the streams of one thread: each is cut into pushes, and compared with the same frames in one push. */
static void *run_job(void *argument) {
  job *j = argument;
  static const size_t CUTS[] = {1, 2, 17, 18, 30};
  for (int i = 0; i < STREAMS; i++) {
    float *frames = random_frames(&j->seed, FRAMES, tide_input_width(j->model));
    answer cut = run_model(j->model, frames, FRAMES, CUTS, sizeof CUTS / sizeof *CUTS);
    answer whole = run_model(j->model, frames, FRAMES, NULL, 0);
    j->good &= same_bits(&cut, &whole, tide_variant_name(tide_model_variant(j->model)));
    free(whole.values);
    free(cut.values);
    free(frames);
  }
  return NULL;
}

static int run_together(const tide_model *model) {
  pthread_t threads[THREADS];
  job jobs[THREADS];
  int good = 1;
  for (int i = 0; i < THREADS; i++) {
    jobs[i] = (job){model, (uint64_t)i, 1};
    if (pthread_create(&threads[i], NULL, run_job, &jobs[i]) != 0) abort();
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    good &= jobs[i].good;
  }
  return good;
}

int main(int count, char **arguments) {
  const int plans = count > 1 ? atoi(arguments[1]) : 20;
  for (int i = 0; i < plans; i++) {
    uint64_t seed = (uint64_t)i;
    size_t bytes;
    void *plan = random_plan(&seed, &bytes);
    tide_fault fault;
    if (tide_plan_check(plan, bytes, &fault) != TIDE_OK) return fprintf(stderr, "plan refused: %s\n", fault.field), 1;
    void *memory = aligned_memory(tide_model_bytes(plan, tide_variant_best()));
    if (!run_together(tide_model_init(memory, plan, tide_variant_best()))) return 1;
    free(memory);
    free(plan);
  }
  printf("%d models, each in %d threads of %d streams\n", plans, THREADS, STREAMS);
  return 0;
}
