import { describe, it } from 'node:test'
import { ADAPTERS } from './adapters-apps.ts'
import { Site } from './adapters-site.ts'
import { CASES } from './cases.ts'

// What happens in the life of a connection, the same on every adapter, for sockets of the gate and for those of a library.

const ENDPOINTS = [
  ['websocket()', '/live', CASES],
  ['accept()', '/library', CASES.filter(({ own }) => own !== true)],
] as const

for (const adapter of ADAPTERS) {
  for (const [endpoint, path, cases] of ENDPOINTS) {
    describe(`${adapter.name}, ${endpoint}`, () => {
      for (const one of cases) {
        const name = one.id === undefined ? one.name : `${one.id}: ${one.name}`
        it(name, one.todo === undefined ? {} : { todo: one.todo }, async () => {
          await using site = await Site.start(adapter, one, path)
          await one.run(site)
        })
      }
    })
  }
}
