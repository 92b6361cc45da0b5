/** So many requests may be under way together. */
const AT_ONCE = 256

/** Asks about each of them, many at a time; gives the answers in order. */
export async function inParts<Item, Told>(
  items: readonly Item[],
  ask: (item: Item) => Promise<Told>,
): Promise<readonly Told[]> {
  const told: Told[] = []
  for (let n = 0; n < items.length; n += AT_ONCE) {
    // oxlint-disable-next-line no-await-in-loop -- part by part
    told.push(...(await Promise.all(items.slice(n, n + AT_ONCE).map(ask))))
  }
  return told
}
