/** Policies in closed loop: who acts, what came of it, and how that looked. */
package org.sightline.study.rollout;
