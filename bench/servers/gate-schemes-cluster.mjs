// gate-schemes as one node of a cluster, with no limit that all nodes share: a handshake needs nothing of the engine.
import { memoryCluster } from '../../dist/index.js'
import { startWith } from './gate-schemes.mjs'

const secret = 'Qm7zXv4Lr9Tn2Wd8Ky5Hs3Bf6Gc1JpAeUoZiRtVqXw'

/** Its log is read before anybody comes. */
async function whenReady(gate) {
  while (!gate.ready) await new Promise((resolve) => setTimeout(resolve, 20))
}

export default () => startWith({ cluster: memoryCluster()(), secret }, whenReady)
