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
