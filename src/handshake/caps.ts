import { refuse, type Refuse } from '../core/decision.ts'

/** Handshakes under way, in total and for each client address. */
export interface Caps {
  /**
   * @param keyOf - the client's address key; undefined where no address can be believed. Asked only when the cap for one
   *   address could be reached.
   * @returns a function that releases the place, once however often it is called.
   */
  enter(keyOf: () => string | undefined): Refuse | (() => void)
  /** Places taken at this moment. */
  readonly size: number
}

interface Place {
  readonly keyOf: () => string | undefined
  key: string | undefined
}

export function createCaps(options: { readonly total: number; readonly perAddress: number }): Caps {
  const places = new Set<Place>()
  const counts = new Map<string, number>()
  let counting = false

  const count = (place: Place): void => {
    place.key = place.keyOf()
    if (place.key !== undefined) counts.set(place.key, (counts.get(place.key) ?? 0) + 1)
  }
  const uncount = (key: string): void => {
    const left = (counts.get(key) ?? 1) - 1
    if (left > 0) counts.set(key, left)
    else counts.delete(key)
  }
  const startCounting = (): void => {
    counting = true
    for (const place of places) count(place)
  }
  const stopCounting = (): void => {
    counting = false
    counts.clear()
    for (const place of places) place.key = undefined
  }
  const leave = (place: Place): void => {
    if (!places.delete(place)) return
    if (place.key !== undefined) uncount(place.key)
    if (counting && places.size === 0) stopCounting()
  }
  return {
    get size(): number {
      return places.size
    },
    enter(keyOf): Refuse | (() => void) {
      if (places.size >= options.total) return refuse('too_many_handshakes')
      // Below the cap of one address nobody can be over it, and no address has to be asked for.
      if (!counting && places.size >= options.perAddress) startCounting()
      const place: Place = { keyOf, key: undefined }
      if (counting) {
        count(place)
        const { key } = place
        if (key !== undefined && (counts.get(key) ?? 0) > options.perAddress) {
          uncount(key)
          return refuse('too_many_from_address')
        }
      }
      places.add(place)
      return () => {
        leave(place)
      }
    },
  }
}
