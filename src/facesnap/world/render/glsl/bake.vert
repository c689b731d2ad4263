// The rest head's skin spread flat: Lambert's azimuthal equal-area map about the face's axis.
in vec2 in_atlas;
in vec4 in_rest;
out vec3 v_rest;
void main() {
    v_rest = in_rest.xyz;
    float reach = length(in_rest.xyz) / 40.0;   // where the head covers itself, the outermost skin is kept
    gl_Position = vec4(in_atlas * 2.0 - 1.0, 1.0 - 2.0 * reach, 1.0);
}
