/** The values of a row: every one is asked for as text, so that no parser of the client's own is in between. */
export type Row = readonly (string | null)[]

/** What the engine needs of a client. */
export interface Driver {
  /** Runs a text of one or several statements as one transaction. Gives the rows of the last one that has any columns. */
  run(text: string): Promise<readonly Row[]>
  /**
   * Listens until the function it gives is called. Listens again by itself after the session was lost.
   *
   * @param again - called each time after that.
   */
  listen(channel: string, hear: (payload: string) => void, again: () => void): Promise<() => Promise<void>>
}

export function toRow(row: object): Row {
  return Object.values(row).map((value: unknown) => (typeof value === 'string' ? value : null))
}

/**
 * What a client has thrown, without what it knows: its errors may hold the statement and the address. Errors of the server are told
 * by their text, which holds none of our values, but where they are about who we are.
 */
export class DatabaseError extends Error {
  /** SQLSTATE, or the word of Node or of the client; empty where there is none. */
  readonly code: string

  constructor(thrown: unknown) {
    const { code, message } = fieldsOf(thrown)
    const isPlain = SQLSTATE.test(code) && !/^(E|28|3D)/.test(code)
    super(`PostgreSQL: ${isPlain ? message : 'no answer'}${code === '' ? '' : ` (${code})`}`)
    this.code = code
  }
}

const SQLSTATE = /^[0-9A-Z]{5}$/

/** The server has said it, and goes on: not so where it shuts down (class 57P). */
export function isOfServer(thrown: unknown): boolean {
  const { code } = fieldsOf(thrown)
  return SQLSTATE.test(code) && !/^(E|08|57P)/.test(code)
}

function fieldsOf(thrown: unknown): { code: string; message: string } {
  if (!(thrown instanceof Error)) return { code: '', message: '' }
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
  return { code: /^\w{1,40}$/.test(code) ? code : '', message: thrown.message }
}
