const MAX_DEPTH = 8

/**
 * A JSON object (RFC 8259) as a map, read strictly: no name may occur twice in one object, which `JSON.parse` would hide,
 * and nothing may be nested deeper than 8 levels.
 *
 * @returns undefined for anything else.
 */
export function readJsonObject(text: string): ReadonlyMap<string, unknown> | undefined {
  const value = parse(text)
  return value === undefined || !isPlain(text) ? undefined : entriesOf(value)
}

/** A map has no prototype to reach, whatever the names are. Undefined for what is no object. */
export function entriesOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return new Map<string, unknown>(Object.entries(value))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

// In a valid text: a string and the colon that makes it a name, or a bracket. Everything else is passed over.
const PARTS = /"[^"\\]*(?:\\.[^"\\]*)*"(?:[\t\n\r ]*:)?|[[\]{}]/g

/** @param text - valid JSON. */
function isPlain(text: string): boolean {
  const open: Array<Set<unknown>> = []
  for (const [part] of text.matchAll(PARTS)) {
    if (part === '{' || part === '[') {
      if (open.push(new Set()) > MAX_DEPTH) return false
    } else if (part === '}' || part === ']') {
      open.pop()
    } else if (part.endsWith(':')) {
      const name: unknown = JSON.parse(part.slice(0, part.lastIndexOf('"') + 1))
      const names = open.at(-1)
      if (names === undefined || names.has(name)) return false
      names.add(name)
    }
  }
  return true
}
