import { refuse, type Refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'

const MAX_TARGET = 4096
// RFC 3986 section 3.3 less ";" (parameters), which some routers cut off.
const PATH = /^[A-Za-z0-9\-._~!$&'()*+,=:@/%]*$/
// What nearly every target looks like: nothing in it can be read in two ways.
const PLAIN = /^(?:\/[A-Za-z0-9_~-]+)+(?:\?[A-Za-z0-9_~.&=-]*)?$/
const QUERY = /^[\x21\x22\x24-\x7e]*$/
// RFC 3986 section 2.3: encoding these changes nothing for one parser and everything for another.
const UNRESERVED = /^[A-Za-z0-9\-._~]$/
const FORBIDDEN = new Set(['%2F', '%5C', '%00', '%2E'])

/** The raw path, without the query. Nothing is decoded or parsed again. */
export function pathOf(target: string): string {
  const at = target.indexOf('?')
  return at < 0 ? target : target.slice(0, at)
}

/** Refuses every target that two parsers could read as two different paths. */
export function checkTarget(target: string, maxBytes: number = MAX_TARGET): Refuse | undefined {
  if (target.length > maxBytes) return refuse('target_too_long')
  if (PLAIN.test(target)) return undefined
  const path = pathOf(target)
  if (!path.startsWith('/') || !PATH.test(path) || !isCanonical(path)) return refuse('bad_target')
  if (!QUERY.test(target.slice(path.length + 1))) return refuse('bad_target')
  return undefined
}

function isCanonical(path: string): boolean {
  if (path.includes('//')) return false
  if (path.split('/').some((segment) => segment === '.' || segment === '..')) return false
  for (let at = path.indexOf('%'); at >= 0; at = path.indexOf('%', at + 1)) {
    const triplet = path.slice(at, at + 3)
    if (!/^%[0-9A-Fa-f]{2}$/.test(triplet) || FORBIDDEN.has(triplet.toUpperCase())) return false
    const byte = Number.parseInt(triplet.slice(1), 16)
    if (byte < 0x20 || byte === 0x7f || UNRESERVED.test(String.fromCharCode(byte))) return false
  }
  return wellFormed(path)
}

function wellFormed(path: string): boolean {
  if (!path.includes('%')) return true
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false // bytes that are no UTF-8: frameworks disagree on them
  }
}

/** The shortest path that the most lenient router could take this target for. Never throws. */
export function foldPath(target: string): string {
  const segments: string[] = []
  for (const name of namesOf(target)) {
    if (name === '..') segments.pop()
    else if (name !== '.') segments.push(name)
  }
  return `/${segments.join('/')}`
}

/** The path of a router that looks at the beginning and never resolves dot segments: `/ws/../x` is under `/ws/`. */
function unresolvedPath(target: string): string {
  return `/${namesOf(target).join('/')}`
}

function namesOf(target: string): string[] {
  let path = pathOf(target).split('#')[0] ?? ''
  const scheme = /^[a-z][a-z0-9+.-]*:\/\/[^/]*/i.exec(path)
  if (scheme !== null) path = path.slice(scheme[0].length)
  const segments = decodeLeniently(path).replaceAll('\\', '/').toLowerCase().split('/')
  return segments.map((segment) => segment.split(';', 1)[0] ?? '').filter((name) => name !== '')
}

function decodeLeniently(path: string): string {
  return path.replaceAll(/%[0-9A-Fa-f]{2}/g, (triplet) => String.fromCharCode(Number.parseInt(triplet.slice(1), 16)))
}

/** @throws Gate101Error `GATE101_CONFIG` for an entry that is no path. */
export function createPathMatch(paths: readonly string[] | undefined): (target: string) => boolean {
  if (paths === undefined) return () => true
  if (!Array.isArray(paths) || paths.length === 0)
    throw wrong('paths must be a list of paths such as "/live" or "/rooms/*".')
  const exact = new Set<string>()
  const prefixes: string[] = []
  for (const entry of paths as readonly unknown[]) {
    if (typeof entry !== 'string') throw wrong('paths must be a list of strings.')
    const isPrefix = entry.endsWith('/*')
    const path = isPrefix ? entry.slice(0, -2) || '/' : entry
    if (path.includes('*') || path.includes('?') || checkTarget(path) !== undefined) {
      throw wrong(`paths: "${entry}" is no path. Write an exact path such as "/live", or a prefix such as "/rooms/*".`)
    }
    const folded = foldPath(path)
    if (isPrefix) prefixes.push(folded === '/' ? '/' : `${folded}/`)
    exact.add(folded)
  }
  const holds = (path: string): boolean => exact.has(path) || prefixes.some((prefix) => path.startsWith(prefix))
  return (target) => {
    if (PLAIN.test(target)) return holds(pathOf(target).toLowerCase())
    if (isUnreadable(target)) return true
    // Whoever listens beside the gate reads in one of these ways; what any of them holds is not left to it.
    return holds(foldPath(target)) || holds(unresolvedPath(target)) || holds(parsedPath(target))
  }
}

/** Targets that nobody else should have to parse. */
function isUnreadable(target: string): boolean {
  if (!target.startsWith('/') || target.startsWith('//') || target.startsWith('/\\')) return true
  return !URL.canParse(target, 'http://localhost')
}

/** The path that a URL parser makes of it. */
function parsedPath(target: string): string {
  return foldPath(new URL(target, 'http://localhost').pathname)
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `attach(): ${message}`)
}
