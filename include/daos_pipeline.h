/* SPDX-License-Identifier: Apache-2.0 */
/** Pipelines: filters and aggregations that run beside the data. */
#ifndef DAOS_PIPELINE_H
#define DAOS_PIPELINE_H

#include <daos_obj.h>
#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** One function or leaf; the parts of a filter stand in prefix order. */
typedef struct {
  d_iov_t part_type;
  d_iov_t data_type;
  uint32_t num_operands;
  daos_key_t akey;
  size_t num_constants;
  d_iov_t *constant;
  size_t data_offset;
  size_t data_len;
} daos_filter_part_t;

typedef struct {
  d_iov_t filter_type;
  uint32_t num_parts;
  daos_filter_part_t **parts;
} daos_filter_t;

typedef struct {
  uint64_t version;
  uint32_t num_filters;
  daos_filter_t **filters;
  uint32_t num_aggr_filters;
  daos_filter_t **aggr_filters;
} daos_pipeline_t;

typedef struct {
  uint64_t nr_objs;
  uint64_t nr_dkeys;
  uint64_t nr_akeys;
} daos_pipeline_stats_t;

/** Zeroes a pipeline. */
void daos_pipeline_init(daos_pipeline_t *pipeline);

/** Zeroes a filter. */
void daos_filter_init(daos_filter_t *filter);

/** Adds a filter, which must outlive the pipeline. \return 0, -DER_INVAL, -DER_NOMEM. */
int daos_pipeline_add(daos_pipeline_t *pipeline, daos_filter_t *filter);

/** Adds a part, which must outlive the filter. \return 0, -DER_INVAL, -DER_NOMEM. */
int daos_filter_add(daos_filter_t *filter, daos_filter_part_t *part);

/** Checks the structure. \return 0, -DER_INVAL, -DER_NOSYS (unknown function or type). */
int daos_pipeline_check(daos_pipeline_t *pipeline);

/** Frees the arrays that the adding calls made. */
int daos_pipeline_free(daos_pipeline_t *pipeline);

/** Runs a pipeline over a dkey, or over all of them; repeat until the end of \a anchor. */
int daos_pipeline_run(daos_handle_t coh, daos_handle_t oh, daos_pipeline_t *pipeline,
                      daos_handle_t th, uint64_t flags, daos_key_t *dkey, uint32_t *nr_iods,
                      daos_iod_t *iods, daos_anchor_t *anchor, uint32_t *nr_kds,
                      daos_key_desc_t *kds, d_sg_list_t *sgl_keys, d_sg_list_t *sgl_recx,
                      daos_size_t *recx_size, d_sg_list_t *sgl_agg, daos_pipeline_stats_t *stats,
                      daos_event_t *ev);

#if defined(__cplusplus)
}
#endif
#endif
