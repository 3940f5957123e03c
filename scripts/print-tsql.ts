// Prints every T-SQL text of the SQL Server engine as JSON lines, for an independent parser to
// judge: no error, one statement each, and the names in it equal to those expected. Names that are
// refused are printed with the way in which they were tried.
import { statementText } from '../src/engines/sqlserver/statement.ts';
import { impossibleNames, nameGates, refusalOf, tsqlSamples } from './tsql-samples.ts';

for (const { name, statement, expected } of tsqlSamples()) {
  const { parameters } = statement;
  print({ name, text: statementText(statement), parameters, expected });
}
for (const input of impossibleNames) {
  for (const [gate, build] of Object.entries(nameGates)) {
    print({ name: `refused-${gate}`, input, refusal: refusalOf(build, input) });
  }
}

function print(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
