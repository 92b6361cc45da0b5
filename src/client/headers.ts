/** Header fields to send: a list is sent as several fields of one name. */
export type HeaderMap = Readonly<Record<string, string | readonly string[]>>

/** Later ones replace earlier ones of the same name, in whatever spelling. */
export function mergeHeaders(...maps: ReadonlyArray<HeaderMap | undefined>): HeaderMap {
  const fields = maps.flatMap((map) => Object.entries(map ?? {}))
  return Object.fromEntries(new Map(fields.map((field) => [field[0].toLowerCase(), field])).values())
}
