/** What a run goes on from: checkpoints that are whole or not there. */
package org.sightline.train.checkpoint;
