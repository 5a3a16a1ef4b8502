/** How sure success rates are, and differences between them. */
package org.sightline.study.statistics;
