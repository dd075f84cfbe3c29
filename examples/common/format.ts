// format.ts: how numbers and tables are shown.

import Table from 'cli-table3';

/** The first column's cells start at the left, the others' end at the right. */
export function printTable(head: string[], rows: string[][]): void {
  const colAligns = head.map((_, column) => (column === 0 ? 'left' : 'right') as Table.HorizontalAlignment);
  const table = new Table({ head, colAligns, style: { head: [], border: [] } }); // No colours: this may go to a file.
  table.push(head.map((_, column) => rows.map((row) => row[column]).join('\n'))); // One tall row has no lines in it.
  console.log(table.toString());
}

export function integer(value: number): string {
  return value.toLocaleString('en-US');
}
