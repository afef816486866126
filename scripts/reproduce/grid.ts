/** Every combination of one value of each list; the last list goes round fastest. */
export function* grid<T extends Record<string, readonly unknown[]>>(lists: T): Generator<{ [name in keyof T]: T[name][number] }> {
  const [[name, values] = [undefined, []], ...rest] = Object.entries(lists);
  if (name === undefined) yield {} as { [name in keyof T]: T[name][number] };
  else
    for (const value of values)
      for (const others of grid(Object.fromEntries(rest))) yield { [name]: value, ...others } as { [name in keyof T]: T[name][number] };
}
