import { createHmac, randomBytes, timingSafeEqual, type KeyObject } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import type { Keys, SecretKey } from './keys.ts'
import { mayInject } from './names.ts'
import { seal, unseal } from './seal.ts'
import type { TicketStore } from '../core/ticket-store.ts'

const RANDOM = 32
const MAC = 16
// 48 bytes: no padding, and every spelling is the canonical one.
const TICKET = /^[A-Za-z0-9_-]{64}$/
const STORE_TIMEOUT = 3000
const PURPOSE = 'connect'

/** Where a ticket is good. */
export interface TicketPlace {
  /** Canonical, without the query; compared exactly. */
  readonly path: string
  /** In one spelling; undefined where the request has none, which is a place of its own. */
  readonly origin: string | undefined
}

/** Makes and redeems tickets: single-use claim checks for the credential headers of a request. */
export interface Tickets {
  /**
   * Seals the headers that may be injected. Refuses with `missing_credential` where there are none, `too_many_tickets`,
   * `tickets_unavailable`. Never rejects.
   *
   * @returns `expiresIn` in whole seconds.
   */
  mint(
    input: TicketPlace & { readonly owner: string; readonly headers: HeaderPairs },
  ): Promise<{ readonly ticket: string; readonly expiresIn: number } | Refuse>
  /**
   * Takes a ticket, which is used up by it unless the store cannot be reached. Refuses with `invalid_ticket`,
   * `ticket_mismatch`, `tickets_unavailable`. Never rejects.
   */
  redeem(ticket: string, at: TicketPlace): Promise<HeaderPairs | Refuse>
}

export interface TicketOptions {
  readonly keys: Keys
  readonly store: TicketStore
  readonly clock: Clock
  /** Milliseconds. */
  readonly lifetime: number
  /** Tickets that one owner may have outstanding. */
  readonly perOwner: number
}

/** What the store cannot read. */
interface Sealed {
  readonly purpose: string
  readonly path: string
  readonly origin: string | null
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  readonly headers: HeaderPairs
}

/** The keys that are derived from one secret. */
interface TicketKeys {
  readonly secret: SecretKey
  readonly mac: KeyObject
  readonly id: KeyObject
  readonly owner: KeyObject
}

export function createTickets(options: TicketOptions): Tickets {
  const first = keysOf(options.keys.first)
  const all = [first, ...options.keys.all.filter((one) => one !== options.keys.first).map(keysOf)]
  return {
    mint: (input) => mint(options, first, input),
    redeem: (ticket, at) => redeem(options, all, ticket, at),
  }
}

function keysOf(secret: SecretKey): TicketKeys {
  return {
    secret,
    mac: secret.derive('ticket mac'),
    id: secret.derive('ticket id'),
    owner: secret.derive('ticket owner'),
  }
}

async function mint(
  { store, clock, lifetime, perOwner }: TicketOptions,
  keys: TicketKeys,
  { path, origin, owner, headers }: Parameters<Tickets['mint']>[0],
): ReturnType<Tickets['mint']> {
  const sealable = headers.filter(([name, value]) => value !== '' && mayInject(name))
  if (sealable.length === 0) return refuse('missing_credential')
  const random = randomBytes(RANDOM)
  const id = idOf(keys, random)
  const sealed: Sealed = {
    purpose: PURPOSE,
    path,
    origin: origin ?? null,
    expiresAt: clock.now() + lifetime,
    headers: sealable,
  }
  const added = await asked<unknown>(clock, () =>
    store.add({
      id,
      owner: digest(keys.owner, owner).toString('base64url'),
      data: seal(sealKey(keys, random), id, JSON.stringify(sealed)),
      lifetime,
      limit: perOwner,
    }),
  )
  if ('type' in added) return added
  if (added.answer === false) return refuse('too_many_tickets')
  if (added.answer !== true)
    return refuse('tickets_unavailable', [], new Error('TicketStore.add must return a boolean.'))
  const ticket = Buffer.concat([random, macOf(keys, random)]).toString('base64url')
  return { ticket, expiresIn: Math.floor(lifetime / 1000) }
}

async function redeem(
  { store, clock }: TicketOptions,
  all: readonly TicketKeys[],
  ticket: string,
  at: TicketPlace,
): Promise<HeaderPairs | Refuse> {
  const opened = openTicket(all, ticket)
  if (opened === undefined) return refuse('invalid_ticket')
  const { keys, random } = opened
  const id = idOf(keys, random)
  const taken = await asked(clock, () => store.take(id))
  if ('type' in taken) return taken
  const sealed = readSealed(unseal(sealKey(keys, random), id, taken.answer))
  if (sealed === undefined || sealed.expiresAt <= clock.now()) return refuse('invalid_ticket')
  const fits = sealed.purpose === PURPOSE && sealed.path === at.path && sealed.origin === (at.origin ?? null)
  return fits ? sealed.headers : refuse('ticket_mismatch')
}

/** A made-up ticket ends here: the store never hears of it. */
function openTicket(
  all: readonly TicketKeys[],
  ticket: string,
): { readonly keys: TicketKeys; readonly random: Buffer } | undefined {
  if (!TICKET.test(ticket)) return undefined
  const bytes = Buffer.from(ticket, 'base64url')
  const random = bytes.subarray(0, RANDOM)
  const keys = all.find((one) => timingSafeEqual(macOf(one, random), bytes.subarray(RANDOM)))
  return keys === undefined ? undefined : { keys, random }
}

function macOf(keys: TicketKeys, random: Uint8Array): Buffer {
  return digest(keys.mac, random).subarray(0, MAC)
}

/** One way: who reads the store does not learn the ticket. */
function idOf(keys: TicketKeys, random: Uint8Array): string {
  return digest(keys.id, random).toString('base64url')
}

/** Needs both the ticket and the secret. */
function sealKey(keys: TicketKeys, random: Uint8Array): KeyObject {
  return keys.secret.derive('ticket seal', random)
}

function digest(key: KeyObject, data: string | Uint8Array): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

/** Only a gate with this secret can have sealed it; its list of names may have been a shorter one. */
function readSealed(text: string | undefined): Sealed | undefined {
  if (text === undefined) return undefined
  const sealed = JSON.parse(text) as Sealed
  const injectable = sealed.headers.every(([name]) => mayInject(name))
  return injectable ? sealed : undefined
}

/** What the store answers, or `tickets_unavailable`. */
async function asked<T>(clock: Clock, ask: () => Promise<T>): Promise<{ readonly answer: T } | Refuse> {
  let cancel = (): void => undefined
  const timeout = new Promise<Refuse>((resolve) => {
    cancel = clock.after(STORE_TIMEOUT, () => {
      resolve(
        refuse('tickets_unavailable', [], new Error(`The ticket store gave no answer within ${STORE_TIMEOUT} ms.`)),
      )
    })
  })
  try {
    return await Promise.race([ask().then((answer) => ({ answer })), timeout])
  } catch (error) {
    return refuse('tickets_unavailable', [], error)
  } finally {
    cancel()
  }
}
