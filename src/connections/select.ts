import type { LiveConnection } from './connection.ts'
import type { Registry } from './registry.ts'
import type { Selector } from './revocations.ts'

/** The open connections that a selector means. */
export function select(registry: Registry, selector: Selector): LiveConnection[] {
  if ('session' in selector) return [...registry.find('session', selector.session)]
  if ('credential' in selector) return [...registry.find('credential', selector.credential)]
  if ('tag' in selector) return [...registry.find('tag', selector.tag)]
  if ('connection' in selector) {
    const found = registry.byNumber(numberOf(selector.connection))
    return found?.id === selector.connection ? [found] : []
  }
  const { subject, issuer } = selector
  const found = [...registry.find('subject', subject)]
  return issuer === undefined ? found : found.filter(({ identity }) => identity.issuer === issuer)
}

/** The number in the id of a connection; NaN for what is none. */
export function numberOf(id: string): number {
  return Number.parseInt(/^c[0-9a-z]+-([0-9a-z]+)$/.exec(id)?.[1] ?? '', 36)
}
