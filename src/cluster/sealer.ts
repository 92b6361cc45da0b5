/** Keeps what nodes say to each other from everybody who has not the gate's secret. */
export interface Sealer {
  /** @param id - what it is sealed for: under another one it does not open. */
  seal(id: string, text: string): Uint8Array
  /** @returns undefined for anything but what `seal` has made with one of the gate's secrets and this id. */
  unseal(id: string, data: Uint8Array): string | undefined
}
