/** Milliseconds of work after which others are let in between. */
const SLICE = 4

/** Does the same to each, and lets the event loop turn where that takes long. The first slice is done at once. */
export async function inSlices<Item>(items: Iterable<Item>, act: (item: Item) => void): Promise<void> {
  let began = performance.now()
  for (const item of items) {
    // After each: a process that was kept waiting does one at least.
    act(item)
    if (performance.now() - began <= SLICE) continue
    // oxlint-disable-next-line no-await-in-loop -- one slice after the other
    await new Promise<void>((resolve) => setImmediate(resolve))
    began = performance.now()
  }
}
