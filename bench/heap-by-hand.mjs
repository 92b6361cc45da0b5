// Many deadlines and one timer, as they are written by hand: a binary heap of entries.
const LONGEST = 2 ** 31 - 1

export function createHeap(expire) {
  const heap = []
  let timer
  let armedFor = Infinity

  const put = (entry, at) => {
    heap[at] = entry
    entry.at = at
  }
  function up(entry, from) {
    let at = from
    while (at > 0) {
      const parent = heap[(at - 1) >> 1]
      if (parent.dueAt <= entry.dueAt) break
      put(parent, at)
      at = (at - 1) >> 1
    }
    put(entry, at)
  }
  function down(entry, from) {
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child + 1 < heap.length && heap[child + 1].dueAt < heap[child].dueAt) child++
      if (child >= heap.length || heap[child].dueAt >= entry.dueAt) break
      put(heap[child], at)
      at = child
    }
    put(entry, at)
  }
  function disarm() {
    clearTimeout(timer)
    armedFor = Infinity
  }
  function arm() {
    if (heap.length === 0) return
    const [{ dueAt }] = heap
    if (dueAt >= armedFor) return
    disarm()
    armedFor = dueAt
    timer = setTimeout(onTimer, Math.min(LONGEST, dueAt - Date.now()))
    timer.unref()
  }
  function onTimer() {
    disarm()
    const now = Date.now()
    while (heap.length > 0 && heap[0].dueAt <= now) {
      const { item } = heap[0]
      remove(item)
      expire(item)
    }
    arm()
  }
  function remove(item) {
    const { at } = item.entry
    const last = heap.pop()
    if (last === item.entry) return
    if (last.dueAt < item.entry.dueAt) up(last, at)
    else down(last, at)
  }
  return {
    item: () => ({ entry: undefined }),
    set(item, dueAt) {
      item.entry = { item, dueAt, at: -1 }
      up(item.entry, heap.length)
      arm()
    },
    delete(item) {
      remove(item)
      if (heap.length === 0) disarm()
    },
  }
}
