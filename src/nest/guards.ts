import { Gate101Error } from '../core/errors.ts'

/** A Nest guard, as an instance. */
export interface Guard {
  canActivate(context: never): unknown
}

/** A Nest guard, as a class. */
export type GuardClass = abstract new (...args: never[]) => Guard

/** The `ExecutionContext` that guards get: of type `http`, with the request as the app's middleware left it. */
export interface HandshakeContext {
  getType(): 'http'
  /** Stands for all gateways: Nest does not say which of them a handshake is for. */
  getClass(): object
  getHandler(): object
  getArgs(): readonly unknown[]
  getArgByIndex(index: number): unknown
  switchToHttp(): { getRequest(): unknown; getResponse(): unknown; getNext(): unknown }
  switchToRpc(): never
  switchToWs(): never
}

/** What gate101 uses of a Nest application to find a guard. */
export interface GuardContainer {
  get(token: GuardClass, options: { readonly strict: false }): unknown
}

interface Wrapper {
  isDependencyTreeStatic?(): boolean
}

interface Module {
  readonly providers: ReadonlyMap<unknown, Wrapper>
  readonly injectables: ReadonlyMap<unknown, Wrapper>
}

/**
 * The guards to ask, with classes taken from the app's container, or made where they need nothing.
 *
 * @throws Gate101Error `GATE101_CONFIG` for what is no guard, and for a class that can neither be found nor made.
 */
export function findGuards(app: GuardContainer, given: ReadonlyArray<Guard | GuardClass>): Guard[] {
  return given.map((guard) => {
    const found = typeof guard === 'function' ? fromClass(app, guard) : guard
    if (typeof found?.canActivate === 'function') return found
    throw wrong('guards must hold guards: classes or instances with canActivate().')
  })
}

function fromClass(app: GuardContainer, guard: GuardClass): Guard {
  const wrapper = wrapperOf(app, guard)
  if (wrapper?.isDependencyTreeStatic?.() === false) {
    throw wrong(`${guard.name} is request-scoped; a guard of handshakes must be a singleton, or an instance.`)
  }
  if (wrapper !== undefined) return app.get(guard, { strict: false }) as Guard
  if (guard.length === 0) return Reflect.construct(guard, []) as Guard
  throw wrong(`${guard.name} is in no module. Add it to the providers of one, or give an instance of it.`)
}

/** `app.get()` ends the process for a class that it does not know, so the modules are looked through first. */
function wrapperOf(app: object, guard: GuardClass): Wrapper | undefined {
  const { container } = app as { container?: { getModules(): ReadonlyMap<string, Module> } }
  for (const module of container?.getModules().values() ?? []) {
    const wrapper = module.providers.get(guard) ?? module.injectables.get(guard)
    if (wrapper !== undefined) return wrapper
  }
  return undefined
}

/** Asks each guard in turn, as Nest does: the first no ends it. Rejects with what a guard throws. */
export async function askGuards(guards: readonly Guard[], args: readonly unknown[]): Promise<boolean> {
  const context = contextOf(args)
  for (const guard of guards) {
    // One after the other: a guard may rely on what an earlier one has put on the request.
    // oxlint-disable-next-line no-await-in-loop
    const answer = await guard.canActivate(context as never)
    // oxlint-disable-next-line no-await-in-loop
    if (!(isObservable(answer) ? await lastOf(answer) : answer)) return false
  }
  return true
}

/** Holds no metadata: what a guard reads from the class of a controller is not there. */
const NO_CLASS = class Gateways {} // oxlint-disable-line typescript/no-extraneous-class

function contextOf(args: readonly unknown[]): HandshakeContext {
  const only = (): never => {
    throw new TypeError('This guard was asked about a handshake: its context is of the type "http".')
  }
  return {
    getType: () => 'http',
    getClass: () => NO_CLASS,
    getHandler: () => askGuards,
    getArgs: () => args,
    getArgByIndex: (index) => args[index],
    switchToHttp: () => ({ getRequest: () => args[0], getResponse: () => args[1], getNext: () => args[2] }),
    switchToRpc: only,
    switchToWs: only,
  }
}

/** What gate101 uses of an RxJS Observable. */
export interface Observable {
  subscribe(observer: { next(value: unknown): void; error(error: unknown): void; complete(): void }): {
    unsubscribe(): void
  }
}

function isObservable(value: unknown): value is Observable {
  return typeof (value as Partial<Observable> | null | undefined)?.subscribe === 'function'
}

/** The last value; undefined, which is no, where there was none. */
async function lastOf(observable: Observable): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let last: unknown
    observable.subscribe({
      next(value) {
        last = value
      },
      error: reject,
      complete() {
        resolve(last)
      },
    })
  })
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `GateWsAdapter: ${message}`)
}
