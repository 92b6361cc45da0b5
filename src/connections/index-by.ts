import { itemsOf, sizeOf, withItem, withoutItem, type Bag } from './bag.ts'

/** Finds members by a key. */
export class IndexBy<Member extends object> {
  readonly #found = new Map<string, Bag<Member>>()

  add(key: string, member: Member): void {
    const before = this.#found.get(key)
    const after = withItem(before, member)
    if (after !== before) this.#found.set(key, after)
  }

  delete(key: string, member: Member): void {
    const before = this.#found.get(key)
    const after = withoutItem(before, member)
    if (after === undefined) this.#found.delete(key)
  }

  /** In the order in which they came. */
  get(key: string): Iterable<Member> & { readonly size: number } {
    return itemsOf(this.#found.get(key))
  }

  count(key: string): number {
    return sizeOf(this.#found.get(key))
  }

  /** Keys that have members. */
  get size(): number {
    return this.#found.size
  }
}
