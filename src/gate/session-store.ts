import { Gate101Error } from '../core/errors.ts'
import type { SessionStoreLike } from './life-options.ts'
import { sessionDestroyed } from './life.ts'
import type { GateState } from './state.ts'

type Method = (this: unknown, ...args: unknown[]) => unknown

/** One for each store, however many gates watch it: whoever goes first would put back what is not theirs. */
interface Watch {
  readonly gates: Set<GateState>
  readonly destroy: (id: string) => void
  readonly undo: () => void
}

/** So long others read of a logout (ms); whoever was away for longer asks about all of its sessions. */
const TOLD_FOR = 10 * 60_000

const watches = new WeakMap<object, Watch>()

/**
 * From now on a session that is destroyed in this store is asked about at once. `destroy` is set on this one object: the
 * middleware's own `regenerate` and `destroy` come through it, the app's too.
 *
 * @throws Gate101Error `GATE101_CONFIG` where the store does not let its function be set.
 */
export function watchStore(state: GateState, store: SessionStoreLike): WatchedStore {
  const watch = watches.get(store) ?? begin(store)
  watch.gates.add(state)
  return {
    destroyAgain: (id) => watch.destroy(id),
    unwatch(): void {
      watch.gates.delete(state)
      if (watch.gates.size > 0 || watches.get(store) !== watch) return
      watches.delete(store)
      watch.undo()
    },
  }
}

/** A session store under watch. */
export interface WatchedStore {
  /** A session that a re-check has written back, after it was destroyed. */
  destroyAgain(id: string): void
  /** Gives the store back. */
  unwatch(): void
}

function begin(store: SessionStoreLike): Watch {
  const gates = new Set<GateState>()
  const original = Reflect.get(store, 'destroy') as Method
  const destroy = (id: string): void => {
    const ignore = (): void => undefined // it was destroyed before; whether the store can do it again, the next answer shows
    try {
      Promise.resolve(Reflect.apply(original, store, [id, ignore])).catch(ignore)
    } catch {
      ignore()
    }
  }
  const undo = replace(store, 'destroy', () => watchedDestroy(gates, original))
  const watch: Watch = { gates, destroy, undo }
  watches.set(store, watch)
  return watch
}

/** @returns a function that puts the one that was there back. */
function replace(store: object, name: string, make: (original: Method) => Method): () => void {
  const had = Object.hasOwn(store, name)
  const original = Reflect.get(store, name) as Method
  const made = make(original)
  if (!Reflect.set(store, name, made) || Reflect.get(store, name) !== made) throw unwatchable()
  return () => {
    if (Reflect.get(store, name) !== made) return
    if (had) Reflect.set(store, name, original)
    else Reflect.deleteProperty(store, name)
  }
}

function watchedDestroy(gates: ReadonlySet<GateState>, destroy: Method): Method {
  return function (this: unknown, ...args) {
    const id = String(args[0])
    // Before the store is asked: what is read of it from now on may be read a moment too early.
    for (const state of gates) state.loggedOut.add(id, state.nextOrder(), false)
    const over = (error?: unknown): void => {
      for (const state of gates) tellDestroyed(state, id, error === undefined || error === null)
    }
    const done = args.at(-1)
    const given = typeof done === 'function' ? [...args.slice(0, -1), before(over, done)] : args
    const returned: unknown = Reflect.apply(destroy, this, given)
    // Of other thenables some run only, and again, each time somebody asks for their result.
    if (returned instanceof Promise) returned.then(() => over(), over)
    else if (typeof done !== 'function') setImmediate(over)
    return returned
  }
}

function tellDestroyed(state: GateState, session: string, isGone: boolean): void {
  sessionDestroyed(state, session, isGone)
  const node = state.cluster?.node
  if (node === undefined) return
  const until = state.clock.now() + TOLD_FOR
  // Written later where it cannot be now; until then the others' re-checks find it.
  node.write({ type: 'session', id: node.newId(), session, isGone, until }).catch(() => undefined)
}

function before(over: (error: unknown) => void, done: Function): Method {
  return function (this: unknown, ...args) {
    over(args[0])
    return Reflect.apply(done, this, args) as unknown
  }
}

function unwatchable(): Gate101Error {
  return new Gate101Error(
    'GATE101_CONFIG',
    'createGate: sessionStore does not let its function destroy be set (it is frozen), so no logout would be seen. Give an object that extends it.',
  )
}
