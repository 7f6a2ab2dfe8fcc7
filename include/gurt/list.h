/* SPDX-License-Identifier: Apache-2.0 */
/** Doubly linked lists whose links are members of the listed structures. */
#ifndef GURT_LIST_H
#define GURT_LIST_H

#include <stddef.h>

#if defined(__cplusplus)
extern "C" {
#endif

typedef struct d_list_head {
  struct d_list_head *next;
  struct d_list_head *prev;
} d_list_t;

#define D_LIST_HEAD_INIT(name) {&(name), &(name)}
#define D_LIST_HEAD(name) d_list_t name = D_LIST_HEAD_INIT(name)
#define D_INIT_LIST_HEAD(ptr)   \
  do {                          \
    (ptr)->next = (ptr);        \
    (ptr)->prev = (ptr);        \
  } while (0)

static inline void d_list_link_(d_list_t *item, d_list_t *prev, d_list_t *next) {
  item->prev = prev;
  item->next = next;
  prev->next = item;
  next->prev = item;
}

/** Puts \a item first. */
static inline void d_list_add(d_list_t *item, d_list_t *head) {
  d_list_link_(item, head, head->next);
}

/** Puts \a item last. */
static inline void d_list_add_tail(d_list_t *item, d_list_t *head) {
  d_list_link_(item, head->prev, head);
}

/** Takes \a item out; its links are not to be used any more. */
static inline void d_list_del(d_list_t *item) {
  item->prev->next = item->next;
  item->next->prev = item->prev;
}

/** Takes \a item out and makes it an empty list. */
static inline void d_list_del_init(d_list_t *item) {
  d_list_del(item);
  D_INIT_LIST_HEAD(item);
}

static inline void d_list_move(d_list_t *item, d_list_t *head) {
  d_list_del(item);
  d_list_add(item, head);
}

static inline void d_list_move_tail(d_list_t *item, d_list_t *head) {
  d_list_del(item);
  d_list_add_tail(item, head);
}

static inline int d_list_empty(const d_list_t *head) { return head->next == head; }

/** Puts the items of \a list first in \a head; \a list is not to be used any more. */
static inline void d_list_splice(d_list_t *list, d_list_t *head) {
  if (d_list_empty(list)) return;
  list->prev->next = head->next;
  head->next->prev = list->prev;
  head->next = list->next;
  list->next->prev = head;
}

static inline void d_list_splice_init(d_list_t *list, d_list_t *head) {
  d_list_splice(list, head);
  D_INIT_LIST_HEAD(list);
}

/** The structure of \a type whose member \a member \a ptr points to. */
#define d_list_entry(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/** First structure of a list, taken out; NULL if the list is empty. */
#define d_list_pop_entry(head, type, member)                        \
  __extension__({                                                   \
    type *popped_ = NULL;                                           \
    if (!d_list_empty(head)) {                                      \
      popped_ = d_list_entry((head)->next, type, member);           \
      d_list_del((head)->next);                                     \
    }                                                               \
    popped_;                                                        \
  })

#define d_list_for_each(pos, head) for (pos = (head)->next; pos != (head); pos = (pos)->next)
#define d_list_for_each_prev(pos, head) for (pos = (head)->prev; pos != (head); pos = (pos)->prev)
#define d_list_for_each_safe(pos, n, head) \
  for (pos = (head)->next, n = (pos)->next; pos != (head); pos = n, n = (pos)->next)

#define d_list_for_each_entry(pos, head, member)                                   \
  for (pos = d_list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head); \
       pos = d_list_entry(pos->member.next, __typeof__(*pos), member))
#define d_list_for_each_entry_reverse(pos, head, member)                           \
  for (pos = d_list_entry((head)->prev, __typeof__(*pos), member); &pos->member != (head); \
       pos = d_list_entry(pos->member.prev, __typeof__(*pos), member))
#define d_list_for_each_entry_continue(pos, head, member)                          \
  for (pos = d_list_entry(pos->member.next, __typeof__(*pos), member); &pos->member != (head); \
       pos = d_list_entry(pos->member.next, __typeof__(*pos), member))
#define d_list_for_each_entry_safe(pos, n, head, member)                           \
  for (pos = d_list_entry((head)->next, __typeof__(*pos), member),                 \
      n = d_list_entry(pos->member.next, __typeof__(*pos), member);                \
       &pos->member != (head);                                                     \
       pos = n, n = d_list_entry(n->member.next, __typeof__(*n), member))
#define d_list_for_each_entry_reverse_safe(pos, n, head, member)                   \
  for (pos = d_list_entry((head)->prev, __typeof__(*pos), member),                 \
      n = d_list_entry(pos->member.prev, __typeof__(*pos), member);                \
       &pos->member != (head);                                                     \
       pos = n, n = d_list_entry(n->member.prev, __typeof__(*n), member))

/** Lists whose head is one pointer. */
typedef struct d_hlist_node {
  struct d_hlist_node *next;
  struct d_hlist_node **pprev;
} d_hlist_node_t;

typedef struct d_hlist_head {
  d_hlist_node_t *first;
} d_hlist_head_t;

#if defined(__cplusplus)
}
#endif
#endif
