/**
 * What an address counts under: IPv6 by /64, IPv4 by itself however it is spelt. A text that is no address, such as
 * what this function has returned, stays as it is.
 */
export function addressKey(address: string): string {
  const bare = address.split('%', 1)[0] ?? ''
  if (!bare.includes(':') || bare.includes('/') || !URL.canParse(`http://[${bare}]`)) return bare
  // A URL parser knows one spelling of each address (RFC 5952).
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical)
  if (mapped !== null) return [mapped[1], mapped[2]].flatMap(bytesOf).join('.')
  return `${groupsOf(canonical).slice(0, 4).join(':')}::/64`
}

function bytesOf(group = ''): number[] {
  const value = Number.parseInt(group, 16)
  return [value >> 8, value & 0xff]
}

function groupsOf(canonical: string): string[] {
  const [left = '', right = ''] = canonical.split('::')
  const head = left.split(':').filter((group) => group !== '')
  const tail = right.split(':').filter((group) => group !== '')
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => '0'), ...tail]
}
