import type { Fault } from "./fault.ts";
import { FAULTS_OF_PROGRAMS } from "./faults_of_programs.ts";
import { FAULTS_OF_THE_BROKER } from "./faults_of_the_broker.ts";
import { FAULTS_OF_THE_DATABASE } from "./faults_of_the_database.ts";
import { FAULTS_OF_THE_RECEIVER } from "./incidents/faults.ts";

/** Every fault there is. */
export const FAULTS: readonly Fault[] = [
  ...FAULTS_OF_PROGRAMS,
  ...FAULTS_OF_THE_BROKER,
  ...FAULTS_OF_THE_DATABASE,
  ...FAULTS_OF_THE_RECEIVER,
];
