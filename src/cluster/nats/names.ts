import { createHash } from 'node:crypto'

/** What streams and subjects of one prefix are called. */
export interface Names {
  /** The stream whose last link names the generation. */
  readonly head: string
  /** The stream of reports and places. */
  readonly state: string
  readonly tickets: string
  /** How the streams of all generations begin. */
  readonly logs: string
  /** Subjects of all generations. */
  readonly anyLog: string
  readonly stateSubjects: string
  readonly ticketSubjects: string
  readonly tick: string
  readonly wake: string
  readonly say: string
  readonly anyReport: string
  /** The stream of a generation. */
  log(generation: string): string
  logSubject(generation: string): string
  chain(id: string): string
  /** The link that ends a generation; it holds the next one. */
  link(id: string, generation: string): string
  floor(id: string, generation: string, upTo: number | '*'): string
  report(node: string): string
  place(key: string, id: string): string
  anyPlace(key: string): string
  /** `*` for any. */
  ticket(id: string, owner: string): string
}

/** Streams are folders of the server, and some file systems know no case: a hash in lower case, and nothing of the prefix itself. */
export function namesOf(prefix: string): Names {
  const hash = createHash('sha256').update(Buffer.from(prefix, 'utf16le')).digest('hex').slice(0, 32)
  const stream = `gate101_${hash}`
  const base = `gate101.${hash}`
  return {
    head: `${stream}_head`,
    state: `${stream}_state`,
    tickets: `${stream}_tickets`,
    logs: `${stream}_log_`,
    anyLog: `${base}.log.*`,
    stateSubjects: `${base}.state.>`,
    ticketSubjects: `${base}.ticket.*.*`,
    tick: `${base}.state.tick`,
    wake: `${base}.wake`,
    say: `${base}.say`,
    anyReport: `${base}.state.report.*`,
    log: (generation) => `${stream}_log_${generation}`,
    logSubject: (generation) => `${base}.log.${generation}`,
    chain: (id) => `${base}.head.${id}.>`,
    link: (id, generation) => `${base}.head.${id}.next.${generation}`,
    floor: (id, generation, upTo) => `${base}.head.${id}.floor.${generation}.${upTo}`,
    report: (node) => `${base}.state.report.${toToken(node)}`,
    place: (key, id) => `${base}.state.place.${toToken(key)}.${toToken(id)}`,
    anyPlace: (key) => `${base}.state.place.${toToken(key)}.*`,
    ticket: (id, owner) => `${base}.ticket.${id === '*' ? id : toToken(id)}.${owner === '*' ? owner : toToken(owner)}`,
  }
}

/** Any text as one part of a subject: no dot, wildcard or space, and never empty. */
function toToken(text: string): string {
  return `t${Buffer.from(text).toString('base64url')}`
}

/** The last part of a subject, as it was before. */
export function lastOf(subject: string): string {
  return Buffer.from(subject.slice(subject.lastIndexOf('.') + 2), 'base64url').toString()
}
