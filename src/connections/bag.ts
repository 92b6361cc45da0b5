/** One thing, or several: most have one, and a set for it alone would cost more than all else that is kept of it. */
export type Bag<Item extends object> = Item | Set<Item>

const NONE: ReadonlySet<never> = new Set<never>()

export function withItem<Item extends object>(bag: Bag<Item> | undefined, item: Item): Bag<Item> {
  if (bag === undefined || bag === item) return item
  return bag instanceof Set ? bag.add(item) : new Set([bag, item])
}

/** @returns undefined where nothing is left. */
export function withoutItem<Item extends object>(bag: Bag<Item> | undefined, item: Item): Bag<Item> | undefined {
  if (!(bag instanceof Set)) return bag === item ? undefined : bag
  bag.delete(item)
  return bag.size === 0 ? undefined : bag
}

/** In the order in which they came. */
export function itemsOf<Item extends object>(bag: Bag<Item> | undefined): Iterable<Item> & { readonly size: number } {
  if (bag === undefined) return NONE
  return bag instanceof Set ? bag : new Set([bag])
}

export function sizeOf<Item extends object>(bag: Bag<Item> | undefined): number {
  if (bag === undefined) return 0
  return bag instanceof Set ? bag.size : 1
}
