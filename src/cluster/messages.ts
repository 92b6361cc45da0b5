import type { Sealer } from './sealer.ts'

/** What one revocation did on one node. */
export interface Applied {
  readonly matched: number
  readonly closed: number
  readonly unbounded: number
}

/** The same, with the id of the entry: its number may be another one's, where the engine has lost the end of its log. */
export interface Done extends Applied {
  readonly entry: string
}

/** A node has carried out these entries. */
export interface AckMessage {
  readonly type: 'ack'
  readonly node: string
  readonly done: readonly Done[]
}

/** Asks all nodes about their connections. */
export interface AskMessage {
  readonly type: 'ask'
  readonly id: string
  readonly question: unknown
}

/** A part of what one node has to say, of so many. */
export interface AnswerMessage {
  readonly type: 'answer'
  readonly id: string
  readonly node: string
  /** Of the answer as JSON, in base64. */
  readonly part: string
  /** From 0: a part may come again. */
  readonly nth: number
  readonly of: number
}

/** A session goes on for longer: those who live by it can be asked about. */
export interface MovedMessage {
  readonly type: 'moved'
  readonly node: string
  readonly session: string
}

/** What nodes say to each other beside the log. It may be lost, and it may come again: nothing depends on it but waiting. */
export type Message = AckMessage | AskMessage | AnswerMessage | MovedMessage

const VERSION = 1
const PURPOSE = 'say'

export function sealMessage(sealer: Sealer, message: Message): Uint8Array {
  return sealer.seal(PURPOSE, JSON.stringify({ v: VERSION, ...message }))
}

/** @returns undefined for what is forged, or of another version. */
export function openMessage(sealer: Sealer, data: Uint8Array): Message | undefined {
  const text = sealer.unseal(PURPOSE, data)
  if (text === undefined) return undefined
  const { v, ...message } = JSON.parse(text) as { v: unknown } & Message
  return v === VERSION ? message : undefined
}

/** What a node says of itself, again and again. */
export interface Standing {
  readonly node: string
  readonly generation: string
  /** It has told all that it remembers in this generation, up to `seq`. */
  readonly told: boolean
  /** The number of the last entry that it has applied. */
  readonly seq: number
  /** What the log was up to that one; undefined where it does not know. */
  readonly tally: string | undefined
  /** The last entries of others that it has carried out, by their ids. */
  readonly done: readonly string[]
  readonly connections: number
  /** What its clock says, in milliseconds since the epoch. */
  readonly now: number
  /** Counts its reports: one that says the same again is an old one. */
  readonly beat: number
  /** It is about to stop: nobody has to wait for it. */
  readonly isLeaving: boolean
}

export function sealStanding(sealer: Sealer, standing: Standing): Uint8Array {
  return sealer.seal(`report ${standing.node}`, JSON.stringify({ v: VERSION, ...standing }))
}

/** @returns undefined for what is forged; a newer version says at least what this one says. */
export function openStanding(sealer: Sealer, node: string, data: Uint8Array): Standing | undefined {
  const text = sealer.unseal(`report ${node}`, data)
  return text === undefined ? undefined : (JSON.parse(text) as Standing)
}
