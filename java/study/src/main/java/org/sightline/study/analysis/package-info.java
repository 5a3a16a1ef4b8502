/** What features hold, in numbers: how many directions, how alike, what can be read from them. */
package org.sightline.study.analysis;
