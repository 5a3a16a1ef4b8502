/**
 * What a policy is put to: the scenes it was trained in, the paper's thirteen environments that
 * differ from them in one thing each, and its eight sets of boards.
 */
package org.sightline.study.task;
