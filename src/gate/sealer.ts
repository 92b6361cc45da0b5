import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import type { Sealer } from '../cluster/sealer.ts'
import { MAX_SECRETS, type Keys } from '../credentials/keys.ts'
import { seal, unseal } from '../credentials/seal.ts'

const KEY = 32
/** A key that is sealed: version, nonce, its base64url, tag. */
const LOCK = 1 + 12 + 43 + 16

/**
 * Seals with a key of its own, which is sealed with each of the gate's secrets: while a secret is exchanged, node by node, all of
 * them can read what any of them says.
 */
export function createSealer({ all }: Keys): Sealer {
  const keys = all.map((secret) => secret.derive('cluster'))
  return {
    seal(id, text) {
      const key = randomBytes(KEY)
      const locks = keys.map((one) => seal(one, id, key.toString('base64url')))
      return Buffer.concat([Uint8Array.of(locks.length), ...locks, seal(createSecretKey(key), id, text)])
    },
    unseal(id, data) {
      const locks = data instanceof Uint8Array ? (data[0] ?? 0) : 0
      if (locks > MAX_SECRETS) return undefined
      const body = 1 + locks * LOCK
      for (let at = 1; at < body; at += LOCK) {
        const key = openLock(keys, id, data.subarray(at, at + LOCK))
        if (key !== undefined) return unseal(key, id, data.subarray(body))
      }
      return undefined
    },
  }
}

function openLock(keys: readonly KeyObject[], id: string, lock: Uint8Array): KeyObject | undefined {
  for (const one of keys) {
    const text = unseal(one, id, lock)
    if (text !== undefined) return createSecretKey(Buffer.from(text, 'base64url'))
  }
  return undefined
}
