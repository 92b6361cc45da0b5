/** The value below which the share `q` of the list lies. */
export function quantile(list, q) {
  const sorted = list.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low)
}

export const median = (list) => quantile(list, 0.5)

/** Median and quartiles. */
export const spread = (list) => ({ median: median(list), low: quantile(list, 0.25), high: quantile(list, 0.75) })

export const quotients = (these, those) => these.map((value, n) => value / those[n])

/** @param noise - added to the goal */
export function verdict(value, goal, noise = 0) {
  if (goal === undefined) return ''
  return value <= goal + noise ? 'ok' : 'over'
}

export function shuffled(list) {
  const result = [...list]
  for (let n = result.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1))
    ;[result[n], result[other]] = [result[other], result[n]]
  }
  return result
}
