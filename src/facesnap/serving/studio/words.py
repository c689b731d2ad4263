"""Every text of the studio, in one place."""

from __future__ import annotations

from typing import Final

TITLE: Final = "FaceSnap"
CLAIM: Final = "Portraits of one person, in the pose you choose. Everything happens on this server."

TAB_MAKE: Final = "Make portraits"
TAB_COMPARE: Final = "Compare faces"

# --- who ---

WHO: Final = "Person"
PHOTOS: Final = "Photos of one person"
WHO_EMPTY: Final = "Add a photo: one clear face, towards the camera. Several photos of the same person are averaged."
WHO_LOOKING: Final = "Looking for faces"
WHO_ENROLLING: Final = "Getting to know the face"
WHO_CONSENT: Final = "Now say below that this person agrees."
WHO_READY: Final = "{name} is ready: {photos}. Kept until you forget them, or for {days} days at most."
WHO_LOADED: Final = "{name} is ready, from an identity file. Kept until you forget them, or for {days} days at most."
WHO_BACK: Final = "{name} is still here. Kept until you forget them, or for {days} days at most."
WHO_GONE: Final = "Forgotten: identity and photos are deleted from this server."
CONSENT: Final = "I am this person, or they agreed to portraits being made of them"
CONSENT_MEANS: Final = (
    "Your word is stored with the identity and written into every picture. The photos become an identity:"
    " numbers that describe the face. Without the tick, nothing is made."
)
WEBCAM: Final = "Take a photo"
WEBCAM_LABEL: Final = "Camera: press the button in it to take the photo"
EXAMPLE: Final = "Use the example"
LOAD_IDENTITY: Final = "Load an identity file"
SAVE_IDENTITY: Final = "Save the identity file"
FORGET: Final = "Forget this person"
MANY_FACES: Final = "Photo {photo} has {faces} faces. Which one is the person?"
FACE: Final = "Face {number}"
FACES_ALT: Final = "Photo {photo} with its faces numbered from 1 to {faces}"
TOO_MANY_PHOTOS: Final = "At most {photos} photos of one person are taken: remove some."

# --- what ---

WHAT: Final = "Picture"
PROMPT: Final = "What should the portrait show?"
PROMPT_HINT: Final = "a portrait of a person in a red jacket, in a park"
NEGATIVE: Final = "What should it not show?"
NEGATIVE_HINT: Final = "glasses, hat"
STYLES: Final = "Style"
STYLES_MEANS: Final = "Each adds its words to the text above."
PLACES: Final = "Light and place"

# --- how ---

POSE: Final = "Pose"
MAP: Final = "What the model is shown: 72 points of this face in this pose."
MAP_ALT: Final = "Landmark map: {pose}"
MAP_EMPTY: Final = "The face's points appear here once a person is ready, and follow the sliders."
YAW: Final = "Turn"
YAW_MEANS: Final = "plus: towards the picture's left, minus: right"
PITCH: Final = "Look up or down"
PITCH_MEANS: Final = "plus: up"
ROLL: Final = "Tilt"
ROLL_MEANS: Final = "plus: clockwise"
MOOD: Final = "Expression"
AMOUNT: Final = "How much of it"
DETAILS: Final = "Expression in detail"
DETAILS_MEANS: Final = "ARKit's names in brackets; left and right are the person's own."
GAZE_SIDE: Final = "Eyes to the side"
GAZE_SIDE_MEANS: Final = "in the head; plus: the person's right"
GAZE_UP: Final = "Eyes up or down"
GAZE_UP_MEANS: Final = "in the head; plus: up"
INTO_CAMERA: Final = "Look into the camera"
FRAMING: Final = "Eyes and framing"
FACE_SIZE: Final = "Size of the face"
FACE_SIZE_MEANS: Final = "brows to chin, as a share of the picture's shorter side"
ACROSS: Final = "Place across"
DOWN: Final = "Place down"
DRIVER: Final = "Take the pose from a photo"
DRIVER_LABEL: Final = "A photo of anyone in the pose you want"
DRIVER_MEANS: Final = "Only pose and expression are read; the face's shape stays your person's."
DRIVER_FRAMING: Final = "Take the face's size and place too"
DRIVER_DONE: Final = "Pose taken from the photo: the sliders show it."
STRAIGHT: Final = "Reset the pose"

# --- more ---

MORE: Final = "Advanced"
IDENTITY_SCALE: Final = "Likeness strength"
IDENTITY_SCALE_MEANS: Final = "how strongly the person's face guides the picture; 1 is as trained"
LANDMARK_SCALE: Final = "Pose strength"
LANDMARK_SCALE_MEANS: Final = "how strictly the points are followed; 1 is as trained"
SPEED: Final = "Speed"
SPEED_MEANS: Final = "what is left out on the way; the picture changes a little"
SPEEDS: Final = {"exact": "Exact", "balanced": "Balanced", "fast": "Fast"}
COUNT: Final = "Pictures"
SIZE: Final = "Size"
OWN_SIZE: Final = "As trained"
STEPS: Final = "Steps"
STEPS_MEANS: Final = "more are finer and slower"
GUIDANCE: Final = "Prompt strength"
GUIDANCE_MEANS: Final = "higher follows the text more closely, and looks harder"
SEED: Final = "Seed"
SEED_MEANS: Final = "the same seed and settings give the same picture"
NEW_SEED: Final = "New seed every time"
DICE: Final = "Roll the dice"
MODEL: Final = "Model"
MODEL_MEANS: Final = "base and adapter; another one may need the photos again"

# --- making ---

STAGE_EMPTY: Final = "Your portraits appear here"
STAGE_STEPS: Final = ("Add a photo and give consent", "Say what the portrait shows", "Set the pose, then generate")
GENERATE: Final = "Generate"
CANCEL: Final = "Cancel"
IDLE: Final = "Ready when you are."
NO_PERSON: Final = "Nobody to paint yet: add a photo and give consent, or load an identity file."
NO_CONSENT: Final = "Consent is missing: tick the box under the photos."
NO_PROMPT: Final = "The prompt is empty: say what the portrait shows."
SENDING: Final = "Sending"
QUEUED_NEXT: Final = "Waiting: yours is next"
QUEUED: Final = "Waiting: {before} before yours"
STARTING: Final = "Starting"
STEP: Final = "Step {step} of {steps}"
FINISHING: Final = "Finishing: measuring the likeness"
CANCELLING: Final = "Stopping before the next step"
CANCELLED: Final = "Cancelled. Nothing was kept."
BACK: Final = "Ready. What you made here before is still there."
STALE: Final = "This page rested for too long, and what it made is deleted: load it anew."
DONE: Final = "Done in {seconds}: {pictures}."
INTERRUPTED: Final = "The server stopped before this was finished: generate again."
INTERNAL: Final = "Something went wrong on the server. Its log says what; please try again."
FORMING_ALT: Final = "The picture as it forms"
RESULTS: Final = "Portraits of this visit, the newest first"
DOWNLOAD: Final = "Download PNG"
USE: Final = "Use as reference"
COMPARE_THIS: Final = "Compare with the photo"
SAME_SEED: Final = "Keep this seed"
DELETE: Final = "Delete"
DELETED: Final = "Deleted from this server: {pictures}."
CLEAR: Final = "Delete all"
CLEARED: Final = "All pictures of this visit are deleted from this server."
SEED_KEPT: Final = "Seed {seed} is set: change one thing and generate again."
USED: Final = "This portrait is now the person's only photo."

# --- what a picture says of itself ---

LIKENESS: Final = "Likeness"
LIKENESS_JUDGE: Final = "judged by {judge}"
LIKENESS_NONE: Final = "not measured"
POSE_OFF: Final = "Pose off by"
POINTS_OFF: Final = "Points off by"
DEGREES: Final = "{value:.1f}°"
SHARE: Final = "{value:.0%} of the distance between the eyes"

# --- comparing ---

COMPARE_MEANS: Final = (
    "How alike are two faces, to a network that took no part in making pictures? The largest face of each photo"
    " counts; the photos are deleted some time after this tab is closed."
)
REFERENCE: Final = "Reference"
RESULT: Final = "Result"
COMPARE: Final = "Compare"
COMPARE_EMPTY: Final = "Add two photos, or press “Compare with the photo” under a portrait."
COMPARE_NO_PHOTO: Final = "There is no photo of this person here: add one to compare with."
COMPARE_MISSING: Final = "Two photos are needed."
SCALE_TEXT: Final = "Cosine from −1 to 1: higher is more alike. Judge: {judge}."
NOTE: Final = "It says how alike faces look to this network; it proves nothing about who someone is."


def photos(number: int) -> str:
    """``1 photo``, ``2 photos``."""
    return f"{number} photo" if number == 1 else f"{number} photos"


def pictures(number: int) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{number} picture" if number == 1 else f"{number} pictures"


def seconds(number: float) -> str:
    """A duration for people: ``0.8 s``, ``12 s``, ``2 min 5 s``."""
    if number < 10:
        return f"{number:.1f} s"
    whole = round(number)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
