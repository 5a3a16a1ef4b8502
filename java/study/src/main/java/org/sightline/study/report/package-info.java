/** Arms of an experiment side by side, beside the paper's. */
package org.sightline.study.report;
