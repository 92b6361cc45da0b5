import { createHash } from 'node:crypto'
import type { LogEntry, LogPage } from './engine.ts'

/** How far a node has followed a log. */
export interface Position {
  readonly generation: string
  /** The entry that was applied last; 0 where there was none. */
  readonly seq: number
  /** Of that entry: another one under its number is another past. */
  readonly digest: string | undefined
}

/** What became of the log since. */
export type Followed =
  /**
   * `fresh`: what is to be applied, in order. `more`: there is more than was read. `skipped`: some were trimmed before they were
   * read.
   */
  | {
      readonly type: 'on'
      readonly position: Position
      readonly fresh: readonly LogEntry[]
      readonly more: boolean
      readonly skipped: boolean
    }
  | { readonly type: 'lost'; readonly why: 'generation' | 'rewound' | 'gap' }

/** Where to read on: the last entry that was applied comes again, so that it can be compared. */
export function readAfter({ seq }: Position): number {
  return Math.max(0, seq - 1)
}

/** What a page says of the log that was followed so far. */
export function follow(before: Position, page: LogPage): Followed {
  if (page.generation !== before.generation) return { type: 'lost', why: 'generation' }
  if (page.last < before.seq) return { type: 'lost', why: 'rewound' }
  // What was trimmed was of no use any more.
  const from = Math.max(before.seq, page.floor)
  const [known] = page.entries
  if (before.seq > page.floor && (known?.seq !== before.seq || digestOf(known) !== before.digest))
    return { type: 'lost', why: 'rewound' }
  const fresh = page.entries.filter(({ seq }) => seq > from)
  if (fresh.some(({ seq }, n) => seq !== from + n + 1)) return { type: 'lost', why: 'gap' }
  const more = page.last > from + fresh.length
  if (more && fresh.length === 0) return { type: 'lost', why: 'gap' }
  const skipped = from > before.seq
  const position = skipped ? { generation: page.generation, seq: from, digest: undefined } : before
  return { type: 'on', position, fresh, more, skipped }
}

/** After this entry. */
export function afterEntry({ generation }: Position, entry: LogEntry): Position {
  return { generation, seq: entry.seq, digest: digestOf(entry) }
}

/** At the beginning of what is left of a log. */
export function beginningOf({ generation, floor }: LogPage): Position {
  return { generation, seq: floor, digest: undefined }
}

function digestOf({ data }: LogEntry): string {
  return createHash('sha256').update(data).digest('base64')
}
