import type { GateOptions } from '../../src/index.ts'
import { patientClock } from '../support/beats.ts'
import type { HandshakeText } from '../support/raw.ts'
import type { Framework } from './adapters/types.ts'

/** Of one header field: its only value, all its values in order, a pattern for its only value, or null for none. */
export type HeaderFact = string | RegExp | readonly string[] | null
export type HeaderFacts = Readonly<Record<string, HeaderFact>>

/** One frame from the server: a text, a part of a JSON text, a Pong, or a Close. */
export type FrameFact =
  | string
  | { readonly json: Readonly<Record<string, unknown>> }
  | { readonly pong: string }
  | { readonly close: number; readonly reason?: string }

export type Expectation =
  /** 101; then exactly these frames, in this order. */
  | { readonly to: 'open'; readonly headers?: HeaderFacts; readonly receives?: readonly FrameFact[] }
  /** A whole answer, after which the connection is gone. `code` is that of the event: `app` for the app's own answer. */
  | {
      readonly to: 'refuse'
      readonly code: string
      readonly status: number
      readonly headers?: HeaderFacts
      readonly body?: string | RegExp
      /** The app's response hears that its client has gone. */
      readonly closesApp?: boolean
    }
  /**
   * 101 before the verdict; then exactly these frames. `code` is that of the refused event; left out where the client is
   * accepted after all.
   */
  | {
      readonly to: 'converse'
      readonly headers?: HeaderFacts
      readonly receives: readonly FrameFact[]
      readonly code?: string
    }
  /** A head, and a body that ends without its end. */
  | { readonly to: 'cut'; readonly status: number; readonly atMost: number }
  /** To a request that asks for no upgrade: an ordinary answer. `code` where a refused event says so. */
  | {
      readonly to: 'answer'
      readonly status: number
      readonly headers?: HeaderFacts
      readonly body?: string | RegExp
      readonly code?: string
    }

/** A fact of one framework, or a case that it cannot have. */
export type Difference =
  | { readonly why: string; readonly expect: Expectation }
  | { readonly why: string; readonly skip: true }

/** How the gate of a case is made. */
export type Policy = 'default' | 'listed' | 'hasty' | 'roads' | 'waits'

export const POLICIES: Readonly<Record<Policy, Omit<GateOptions, 'identify' | 'authenticate'>>> = {
  default: {},
  listed: { origins: ['https://app.example.com'], hosts: ['ws.internal.example'] },
  /** For what is to be cut by the deadline. */
  hasty: { clock: patientClock, limits: { deadline: 300 } },
  /** Every way in which a credential may come with the handshake, and refusals as a Close frame. */
  roads: {
    subprotocolTokens: true,
    dangerouslyAllowQueryToken: true,
    sessionCookies: ['session'],
    refuse: 'auto',
    tickets: { perSession: 1000 },
  },
  /** The first message may bring the credential. */
  waits: { firstMessage: { paths: ['/whoami'], headers: ['authorization', 'x-api-key'] } },
}

export interface Request extends HandshakeText {
  /** Asks for no upgrade. */
  readonly plain?: boolean
  /** Headers with which a ticket for `/whoami` is asked for first. It stands in the place of `{ticket}`. */
  readonly mint?: HandshakeText['headers']
  /** The same handshake has used the ticket before. */
  readonly spent?: boolean
  /** In the same packet, right behind the head. */
  readonly early?: Uint8Array
  /** Sent once the 101 is there. */
  readonly late?: Uint8Array
}

export interface Case {
  readonly group: string
  readonly name: string
  readonly request: Request
  /** @defaultValue default */
  readonly policy?: Policy
  readonly expect: Expectation
  /**
   * What the built-in scheme answers in the place of the app's own guard; `same` where nothing differs. Left out where the
   * case asks about the app door alone.
   */
  readonly schemes?: Expectation | 'same'
  /** Where the same is something else on TLS. */
  readonly tls?: Expectation
  readonly differs?: Partial<Record<Framework, Difference>>
}
