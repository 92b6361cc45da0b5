import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

interface Pair {
  readonly client: Socket
  server: Socket | undefined
}

/** What lies between one node and its engine. Cut, it swallows all bytes: nobody is told. */
export class Cable {
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #to: number
  #isCut = false

  private constructor(to: number) {
    this.#to = to
    this.#server = createServer((client) => this.#take(client)).listen(0, '127.0.0.1')
  }

  static async to(port: number): Promise<Cable> {
    const cable = new Cable(port)
    await once(cable.#server, 'listening')
    return cable
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  cut(): void {
    this.#isCut = true
    for (const { client, server } of this.#pairs) for (const one of [client, server]) one?.unpipe().pause()
  }

  /**
   * New connections pass again. What was sent meanwhile comes now, as where a network sends again; or never, as where what lies between
   * has forgotten the connections, which stay as they are.
   */
  heal(old: 'late' | 'never'): void {
    if (!this.#isCut) return
    this.#isCut = false
    for (const pair of this.#pairs) {
      if (pair.server === undefined) this.#pass(pair)
      else if (old === 'late') join(pair.client, pair.server)
    }
  }

  /** To another server; connections end. */
  lead(port: number): void {
    this.#to = port
    for (const { client, server } of this.#pairs) for (const one of [client, server]) one?.destroy()
  }

  stop(): void {
    this.#server.close()
    this.lead(this.#to)
  }

  #take(client: Socket): void {
    const pair: Pair = { client, server: undefined }
    this.#pairs.add(pair)
    client.on('error', () => undefined)
    client.on('close', () => {
      this.#pairs.delete(pair)
      pair.server?.destroy()
    })
    if (!this.#isCut) this.#pass(pair)
  }

  #pass(pair: Pair): void {
    const server = connect(this.#to, '127.0.0.1')
    pair.server = server
    server.on('error', () => undefined)
    server.on('close', () => pair.client.destroy())
    join(pair.client, server)
  }
}

function join(one: Socket, other: Socket): void {
  one.pipe(other)
  other.pipe(one)
}
