import jsonwebtoken from 'jsonwebtoken'

export type Person = 'alice' | 'bob' | 'carol'

/** Where apps keep who may log in with what. */
export const PASSWORDS: Readonly<Record<Person, string>> = {
  alice: 'roads-password-alice-7c1e',
  bob: 'roads password of bob, 90aé',
  carol: 'roads-password-carol-4f52',
}

const KEYS: Readonly<Record<Person, string>> = {
  alice: 'roads-api-key-alice-2f81',
  bob: 'roads-api-key-bob-90ac',
  carol: 'roads-api-key-carol-5d3b',
}

export const SIGNING_KEY = 'a signing key that is only for tests, and 32 bytes long at least'
export const COOKIE_KEY = 'a cookie key that is only for tests, and 32 bytes long at least'
export const [ISSUER, AUDIENCE] = ['https://id.example', 'roads']

const isPerson = (id: unknown): id is Person => typeof id === 'string' && Object.hasOwn(KEYS, id)

export const keyOf = (person: Person): string => KEYS[person]

export function basicOf(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
}

export function jwtOf(person: Person, key = SIGNING_KEY): string {
  const options = { algorithm: 'HS256', expiresIn: '1h', issuer: ISSUER, audience: AUDIENCE } as const
  return jsonwebtoken.sign({ sub: person }, key, options)
}

/** The accounts of one app. A person who is banned has no good credential any more. */
export class People {
  readonly #banned = new Set<string>()

  ban(person: Person): void {
    this.#banned.add(person)
  }

  known(id: unknown): Person | undefined {
    return isPerson(id) && !this.#banned.has(id) ? id : undefined
  }

  byPassword(name: string, password: string): Person | undefined {
    return isPerson(name) && PASSWORDS[name] === password ? this.known(name) : undefined
  }

  byKey(key: unknown): Person | undefined {
    return this.known(Object.entries(KEYS).find(([, one]) => one === key)?.[0])
  }

  byBasic(header: string | undefined): Person | undefined {
    const encoded = /^Basic ([A-Za-z0-9+/]+=*)$/.exec(header ?? '')?.[1]
    if (encoded === undefined) return undefined
    const [name = '', ...password] = Buffer.from(encoded, 'base64').toString().split(':')
    return this.byPassword(name, password.join(':'))
  }

  byBearer(header: string | undefined): Person | undefined {
    const token = /^Bearer (\S+)$/.exec(header ?? '')?.[1]
    if (token === undefined) return undefined
    try {
      return this.known(jsonwebtoken.verify(token, SIGNING_KEY, { algorithms: ['HS256'] }).sub)
    } catch {
      return undefined
    }
  }
}
