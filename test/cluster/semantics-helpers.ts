import assert from 'node:assert/strict'
import { Gate101Error, type Revoked } from '../../src/index.ts'
import { ClusterWorld, type Node, type NodeOptions } from './semantics-world.ts'

export type Trio = readonly [Node, Node, Node]

/** A test with three nodes that are live. */
export function trio(check: (world: ClusterWorld, nodes: Trio) => Promise<void>, options: NodeOptions = {}) {
  return async (): Promise<void> => {
    const world = await ClusterWorld.of(3, options)
    try {
      await check(world, world.nodes as unknown as Trio)
    } finally {
      await world.stop()
    }
  }
}

export async function resolved(world: ClusterWorld, ms: number, revoking: Promise<Revoked>): Promise<Revoked> {
  const revoked = await world.within(ms, revoking)
  if (revoked === 'open' || revoked instanceof Error) throw new Error(`it is ${String(revoked)}`)
  return revoked
}

export async function rejected(world: ClusterWorld, ms: number, revoking: Promise<Revoked>): Promise<void> {
  const error = await world.within(ms, revoking)
  assert.ok(error instanceof Gate101Error, String(error))
  assert.equal(error.code, 'REVOCATION_NOT_DURABLE')
}

/** How many each node has ended; null where it has not said so. The first is the node that was asked. */
export function closedBy({ nodes }: Revoked): Array<number | null> {
  return nodes.map(({ closed }) => closed)
}

/** Nodes that are named as not having answered. */
export function unheard({ nodes }: Revoked): string[] {
  return nodes.flatMap(({ node, lagMs }) => (lagMs === null ? [node] : []))
}
